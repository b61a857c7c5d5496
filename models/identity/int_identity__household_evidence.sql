with

record_customers as (

    select * from {{ ref('int_identity__record_customers') }}

),

contacts as (

    select * from {{ ref('int_identity__contacts_of_sources') }}

),

observations as (

    select * from {{ ref('int_identity__observations') }}

    where identifier_type = 'phone'

),

blocked as (

    select * from {{ ref('int_identity__blocked_identifiers') }}

),

-- A phone that several people gave, which is why it is no one's own.
phones as (

    select
        record_customers.customer_id,
        'phone' as evidence,
        observations.identifier_value as evidence_value

    from observations

    inner join record_customers
        on observations.source = record_customers.source
        and observations.table_name = record_customers.table_name
        and observations.record_key = record_customers.record_key

    left join blocked
        on observations.node_key = blocked.node_key

    where blocked.node_key is null

),

spelled_addresses as (

    select
        record_customers.customer_id,
        {{ replace_all(
            fold_name('contacts.address_line'), '[^\\p{L}\\p{N}]+', ''
        ) }} as address_line,
        {{ replace_all(
            fold_name('coalesce(contacts.postal_code, contacts.city)'), '[^\\p{L}\\p{N}]+', ''
        ) }} as place,
        coalesce(contacts.country_code, '') as country_code,
        {{ replace_all(fold_name('contacts.last_name'), ' ', '') }} as last_name

    from contacts

    inner join record_customers
        on contacts.source = record_customers.source
        and contacts.table_name = record_customers.table_name
        and contacts.record_key = record_customers.record_key

),

-- One with a part that is missing, or of signs alone, is nobody's home.
addresses as (

    select
        customer_id,
        'address' as evidence,
        address_line || '|' || place || '|' || country_code || '|' || last_name as evidence_value

    from spelled_addresses

    where
        address_line <> ''
        and place <> ''
        and last_name <> ''

),

evidence as (

    select * from phones

    union

    select * from addresses

),

counted as (

    select
        customer_id,
        evidence,
        evidence_value,
        count(*) over (partition by evidence, evidence_value) as customer_count

    from evidence

),

-- What more people share than live together, is an office, a shop or a made-up value.
shared as (

    select
        customer_id,
        evidence,
        {{ md5_bigint("'customer|' || customer_id") }} as customer_key,
        {{ md5_bigint("evidence || '|' || evidence_value") }} as evidence_key

    from counted

    where customer_count between 2 and {{ var('max_household_size') }}

)

select * from shared
