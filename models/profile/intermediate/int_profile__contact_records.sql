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
