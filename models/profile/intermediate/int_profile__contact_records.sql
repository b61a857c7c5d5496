{# One line for each staged table that says something of a person: add a source here. #}
{%- set fields = [
    'first_name', 'last_name', 'email', 'phone', 'birth_date', 'gender',
    'address_line', 'city', 'region', 'postal_code', 'country_code',
] -%}
{%- set records = [
    ['shopify', 'shopify', 'customer', ref('stg_shopify__customers'), 'record_key',
        'coalesce(updated_at, created_at)',
        ['first_name', 'last_name', 'email', 'phone'], 'not is_deleted'],
    ['shopify_order', 'shopify', 'order', ref('stg_shopify__orders'), 'record_key', 'ordered_at',
        ['first_name', 'last_name', 'email', 'phone',
            'address_line', 'city', 'postal_code', 'country_code'],
        'not is_deleted and coalesce(is_test, false) = false'],
    ['shopify_address', 'shopify', 'customer', ref('stg_shopify__customer_addresses'),
        'shopify_customer_id', 'synced_at',
        ['address_line', 'city', 'region', 'postal_code', 'country_code'],
        'not is_deleted and is_default_address'],
    ['web', 'web', 'events', ref('stg_web__events'), 'record_key', 'occurred_at',
        ['first_name', 'last_name', 'email', 'phone', 'birth_date', 'gender',
            'address_line', 'city', 'postal_code', 'country_code'], "event_type = 'identify'"],
    ['consent', 'consent', 'consent_events', ref('stg_consent__consent_events'), 'record_key', 'captured_at',
        ['email', 'phone'], 'true'],
    ['erp', 'erp', 'invoice_lines', ref('stg_erp__invoice_lines'), 'record_key', 'invoiced_at',
        ['country_code'], 'erp_customer_no is not null'],
] -%}
with

record_customers as (

    select * from {{ ref('record_customers') }}

),

junk as (

    select
        identifier_type,
        identifier_value,
        blocks_sending

    from {{ ref('identifiers') }}

    where status_reason = 'junk_value'

),

records as (

    {% for name, source_name, table_name, relation, key, updated_at, given, condition in records %}
    select
        '{{ name }}' as record_source,
        '{{ source_name }}' as source,
        '{{ table_name }}' as table_name,
        cast({{ key }} as {{ dbt.type_string() }}) as record_key,
        {% for field in fields %}
        cast(
            {{ field if field in given else 'null' }}
            as {{ 'date' if field == 'birth_date' else dbt.type_string() }}
        ) as {{ field }},
        {% endfor %}
        {{ updated_at }} as updated_at
    from {{ relation }}
    where {{ condition }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

records_of_customers as (

    select
        record_customers.customer_id,
        records.record_source,
        records.updated_at,
        records.first_name,
        records.last_name,
        case when junk_emails.identifier_value is null then records.email end as email,
        case when junk_phones.identifier_value is null then records.phone end as phone,
        case
            when coalesce(junk_emails.blocks_sending, false) = false then records.email
        end as contact_email,
        case
            when coalesce(junk_phones.blocks_sending, false) = false then records.phone
        end as contact_phone,
        records.birth_date,
        records.gender,
        records.address_line,
        records.city,
        records.region,
        records.postal_code,
        records.country_code,
        min(records.record_key) as record_key

    from records

    inner join record_customers
        on records.source = record_customers.source
        and records.table_name = record_customers.table_name
        and records.record_key = record_customers.record_key

    left join junk as junk_emails
        on junk_emails.identifier_type = 'email'
        and records.email = junk_emails.identifier_value

    left join junk as junk_phones
        on junk_phones.identifier_type = 'phone'
        and records.phone = junk_phones.identifier_value

    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16

)

select * from records_of_customers
