{%- set fields = attribute_fields() -%}
with

records as (

    select * from {{ ref('int_identity__contacts_of_sources') }}

),

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

spelled as (

    select
        record_source,
        source,
        table_name,
        record_key,
        updated_at,
        {% for field in fields if field not in ('language', 'preferences') %}
        {{ field }},
        {% endfor %}
        {{ lower_case("substr(language, 1, 2)") }} as language,
        {{ lower_case(trimmed('preferences')) }} as preferences

    from records

),

records_of_customers as (

    select
        record_customers.customer_id,
        spelled.record_source,
        spelled.source,
        spelled.table_name,
        {% for field in fields %}
        spelled.{{ field }},
        {% endfor %}
        junk_emails.identifier_value is not null as is_junk_email,
        junk_phones.identifier_value is not null as is_junk_phone,
        case
            when coalesce(junk_emails.blocks_sending, false) = false then spelled.email
        end as contact_email,
        case
            when coalesce(junk_phones.blocks_sending, false) = false then spelled.phone
        end as contact_phone,
        min(spelled.updated_at) as first_said_at,
        max(spelled.updated_at) as last_said_at,
        count(*) as record_count,
        substr(max({{ timed_key('spelled.updated_at', 'spelled.record_key') }}), 20) as record_key

    from spelled

    inner join record_customers
        on spelled.source = record_customers.source
        and spelled.table_name = record_customers.table_name
        and spelled.record_key = record_customers.record_key

    left join junk as junk_emails
        on junk_emails.identifier_type = 'email'
        and spelled.email = junk_emails.identifier_value

    left join junk as junk_phones
        on junk_phones.identifier_type = 'phone'
        and spelled.phone = junk_phones.identifier_value

    group by {% for place in range(1, 9 + fields | length) %}{{ place }}{{ ', ' if not loop.last }}{% endfor %}

)

select * from records_of_customers
