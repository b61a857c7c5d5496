{# One line for each staged table that says something of a person: add a source here. Record source,
   source, table, staged model, key of the record, when it was said, fields that it has (field:column where
   the table calls it otherwise), which rows; all of it by the row alone, since a build reads new rows only. Read by the
   newest version of each row (int_identity__contacts_of_sources) and by all of them
   (int_profile__contact_versions). #}
{% macro contacts_of_sources() %}
{%- set contacts = [
    ['shopify', 'shopify', 'customer', 'stg_shopify__customers', 'record_key',
        'coalesce(updated_at, created_at)', 'first_name last_name email phone', 'not is_deleted'],
    ['shopify_order', 'shopify', 'order', 'stg_shopify__orders', 'record_key', 'ordered_at',
        'first_name last_name email phone address_line city postal_code country_code',
        'not is_deleted and coalesce(is_test, false) = false'],
    ['shopify_address', 'shopify', 'customer', 'stg_shopify__customer_addresses',
        'shopify_customer_id', 'synced_at', 'address_line city region postal_code country_code',
        'not is_deleted and is_default_address'],
    ['web', 'web', 'events', 'stg_web__events', 'record_key', 'occurred_at',
        'first_name last_name email phone birth_date gender address_line city postal_code country_code language:locale',
        "event_type = 'identify'"],
    ['consent', 'consent', 'consent_events', 'stg_consent__consent_events', 'record_key',
        'captured_at', 'email phone', 'true'],
    ['erp', 'erp', 'invoice_lines', 'stg_erp__invoice_lines', 'record_key', 'invoiced_at',
        'country_code', 'erp_customer_no is not null'],
    ['pos', 'pos', 'receipts', 'stg_pos__receipts', 'record_key', 'issued_at',
        'email phone', 'email is not null or phone is not null'],
    ['pos_sign_up', 'pos', 'loyalty_sign_ups', 'stg_pos__loyalty_sign_ups', 'record_key',
        'signed_up_at', 'first_name last_name email phone country_code', 'true'],
    ['hubspot', 'hubspot', 'contact', 'stg_hubspot__contacts', 'record_key',
        'coalesce(synced_at, created_at)', 'first_name last_name email phone country_code',
        'not is_deleted'],
    ['klaviyo', 'klaviyo', 'person', 'stg_klaviyo__persons', 'record_key',
        'coalesce(updated_at, created_at)',
        'first_name last_name email phone city region country_code', 'not is_deleted'],
    ['zendesk', 'zendesk', 'user', 'stg_zendesk__users', 'record_key',
        'coalesce(updated_at, created_at)', 'email phone',
        "not is_deleted and user_role = 'end-user'"],
    ['line', 'line', 'followers', 'stg_line__followers', 'record_key', 'updated_at',
        'email language', 'email is not null or language is not null'],
    ['social', 'social', 'interactions', 'stg_social__interactions', 'record_key',
        'occurred_at', 'email', 'email is not null'],
    ['survey', 'survey', 'answers', 'stg_survey__answers', 'record_key', 'answered_at',
        'email', 'email is not null'],
    ['survey', 'survey', 'answers', 'stg_survey__answers', 'record_key', 'answered_at',
        'preferences:answer_value', "question_type in ('preference', 'interest')"],
    ['loyalty', 'loyalty', 'members', 'stg_loyalty__members', 'record_key',
        'coalesce(updated_at, joined_at)',
        'first_name last_name email phone birth_date country_code', 'not is_deleted'],
    ['subscriptions', 'subscriptions', 'subscriptions',
        'stg_subscriptions__subscriptions', 'record_key', 'coalesce(updated_at, started_at)',
        'email', 'email is not null'],
] -%}
{{ return(contacts) }}
{% endmacro %}

{# Fields that a line may give, with their types: those of the golden record's groups. #}
{% macro contact_fields() %}
    {% set fields = {} %}
    {% for field in attribute_fields() %}
        {% do fields.update({field: 'date' if field == 'birth_date' else dbt.type_string()}) %}
    {% endfor %}
    {{ return(fields) }}
{% endmacro %}

{# Who says what of whom, and when: the columns of one line. #}
{% macro contact_columns(contact) -%}
{%- set name, source_name, table_name, model, key, updated_at, given, condition = contact -%}
{%- set columns = {} -%}
{%- for each in given.split() -%}
{%- do columns.update({each.split(':')[0]: each.split(':')[-1]}) -%}
{%- endfor -%}
'{{ name }}' as record_source,
    '{{ source_name }}' as source,
    '{{ table_name }}' as table_name,
    cast({{ key }} as {{ dbt.type_string() }}) as record_key,
    {% for field, type in contact_fields().items() -%}
    cast({{ columns.get(field, 'null') }} as {{ type }}) as {{ field }},
    {% endfor -%}
    {{ updated_at }} as updated_at
{%- endmacro %}

{# The declared version of a staged model's rows, as its columns are called; none where dbt knows no graph: while it
   parses, and in unit tests. #}
{% macro version_columns(model) %}
    {% set found = [] %}
    {% if execute and graph %}
        {% set depends_on = graph.nodes['model.' ~ project_name ~ '.' ~ model].depends_on.nodes %}
        {% for node in graph.sources.values() if node.unique_id in depends_on and node.source_name != 'landing' %}
            {% for name in node.config.meta.get('version', []) %}
                {% do found.append(node.columns[name].config.meta.get('as', name)) %}
            {% endfor %}
        {% endfor %}
    {% endif %}
    {{ return(found) }}
{% endmacro %}
