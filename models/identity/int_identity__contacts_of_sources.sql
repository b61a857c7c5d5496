{# One line for each staged table that says something of a person: add a source here. Record source,
   source, table, relation, key of the record, when it was said, fields that it has (field:column where
   the table calls it otherwise), which rows. #}
{%- set fields = [
    'first_name', 'last_name', 'email', 'phone', 'birth_date', 'gender',
    'address_line', 'city', 'region', 'postal_code', 'country_code', 'language', 'preferences',
] -%}
{%- set contacts = [
    ['shopify', 'shopify', 'customer', ref('stg_shopify__customers'), 'record_key',
        'coalesce(updated_at, created_at)', 'first_name last_name email phone', 'not is_deleted'],
    ['shopify_order', 'shopify', 'order', ref('stg_shopify__orders'), 'record_key', 'ordered_at',
        'first_name last_name email phone address_line city postal_code country_code',
        'not is_deleted and coalesce(is_test, false) = false'],
    ['shopify_address', 'shopify', 'customer', ref('stg_shopify__customer_addresses'),
        'shopify_customer_id', 'synced_at', 'address_line city region postal_code country_code',
        'not is_deleted and is_default_address'],
    ['web', 'web', 'events', ref('stg_web__events'), 'record_key', 'occurred_at',
        'first_name last_name email phone birth_date gender address_line city postal_code country_code language:locale',
        "event_type = 'identify'"],
    ['consent', 'consent', 'consent_events', ref('stg_consent__consent_events'), 'record_key',
        'captured_at', 'email phone', 'true'],
    ['erp', 'erp', 'invoice_lines', ref('stg_erp__invoice_lines'), 'record_key', 'invoiced_at',
        'country_code', 'erp_customer_no is not null'],
    ['pos', 'pos', 'receipts', ref('stg_pos__receipts'), 'record_key', 'issued_at',
        'email phone', 'email is not null or phone is not null'],
    ['pos_sign_up', 'pos', 'loyalty_sign_ups', ref('stg_pos__loyalty_sign_ups'), 'record_key',
        'signed_up_at', 'first_name last_name email phone country_code', 'true'],
    ['hubspot', 'hubspot', 'contact', ref('stg_hubspot__contacts'), 'record_key',
        'coalesce(synced_at, created_at)', 'first_name last_name email phone country_code',
        'not is_deleted'],
    ['klaviyo', 'klaviyo', 'person', ref('stg_klaviyo__persons'), 'record_key',
        'coalesce(updated_at, created_at)',
        'first_name last_name email phone city region country_code', 'not is_deleted'],
    ['zendesk', 'zendesk', 'user', ref('stg_zendesk__users'), 'record_key',
        'coalesce(updated_at, created_at)', 'email phone',
        "not is_deleted and user_role = 'end-user'"],
    ['line', 'line', 'followers', ref('stg_line__followers'), 'record_key', 'updated_at',
        'email language', 'email is not null or language is not null'],
    ['social', 'social', 'interactions', ref('stg_social__interactions'), 'record_key',
        'occurred_at', 'email', 'email is not null'],
    ['survey', 'survey', 'answers', ref('stg_survey__answers'), 'record_key', 'answered_at',
        'email', 'email is not null'],
    ['survey', 'survey', 'answers', ref('stg_survey__answers'), 'record_key', 'answered_at',
        'preferences:answer_value', "question_type in ('preference', 'interest')"],
    ['loyalty', 'loyalty', 'members', ref('stg_loyalty__members'), 'record_key',
        'coalesce(updated_at, joined_at)',
        'first_name last_name email phone birth_date country_code', 'not is_deleted'],
    ['subscriptions', 'subscriptions', 'subscriptions',
        ref('stg_subscriptions__subscriptions'), 'record_key', 'coalesce(updated_at, started_at)',
        'email', 'email is not null'],
] -%}
{% for name, source_name, table_name, relation, key, updated_at, given, condition in contacts %}
select
    '{{ name }}' as record_source,
    '{{ source_name }}' as source,
    '{{ table_name }}' as table_name,
    cast({{ key }} as {{ dbt.type_string() }}) as record_key,
    {% set columns = {} %}
    {% for each in given.split() %}
    {% do columns.update({each.split(':')[0]: each.split(':')[-1]}) %}
    {% endfor %}
    {% for field in fields %}
    cast(
        {{ columns.get(field, 'null') }}
        as {{ 'date' if field == 'birth_date' else dbt.type_string() }}
    ) as {{ field }},
    {% endfor %}
    {{ updated_at }} as updated_at
from {{ relation }}
where {{ condition }}
{{ 'union all' if not loop.last }}
{% endfor %}
