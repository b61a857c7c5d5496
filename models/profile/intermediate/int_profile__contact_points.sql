with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

),

customer_identifiers as (

    select * from {{ ref('customer_identifiers') }}

),

web_events as (

    select * from {{ ref('stg_web__events') }}

    where push_token is not null

),

record_customers as (

    select * from {{ ref('record_customers') }}

),

found as (

    select
        customer_id,
        'email' as contact_point_type,
        email as contact_point,
        contact_email is not null as is_usable,
        first_said_at as first_seen_at,
        last_said_at as last_seen_at

    from contact_records

    where email is not null

    union all

    select
        customer_id,
        'phone' as contact_point_type,
        phone as contact_point,
        contact_phone is not null as is_usable,
        first_said_at as first_seen_at,
        last_said_at as last_seen_at

    from contact_records

    where phone is not null

    union all

    select
        customer_id,
        'postal_address' as contact_point_type,
        concat_ws(', ', address_line, postal_code, city, region, country_code) as contact_point,
        city is not null and country_code is not null as is_usable,
        first_said_at as first_seen_at,
        last_said_at as last_seen_at

    from contact_records

    where address_line is not null

    union all

    select
        customer_id,
        'line_user_id' as contact_point_type,
        identifier_value as contact_point,
        true as is_usable,
        first_seen_at,
        last_seen_at

    from customer_identifiers

    where identifier_type = 'line_user_id'

    union all

    select
        record_customers.customer_id,
        'push_token' as contact_point_type,
        web_events.push_token as contact_point,
        true as is_usable,
        web_events.occurred_at as first_seen_at,
        web_events.occurred_at as last_seen_at

    from web_events

    inner join record_customers
        on record_customers.source = 'web'
        and record_customers.table_name = 'events'
        and web_events.record_key = record_customers.record_key

),

contact_points as (

    select
        customer_id,
        contact_point_type,
        contact_point,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        min(case when is_usable then 1 else 0 end) = 1 as is_usable

    from found

    group by 1, 2, 3

)

select * from contact_points
