{{ config(materialized='incremental', incremental_strategy='changed_customers') }}
-- depends_on: {{ ref('int_profile__changed_customers') }}
with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

    {{ of_changed_customers() }}

),

customer_identifiers as (

    select * from {{ ref('customer_identifiers') }}

    {{ of_changed_customers() }}

),

push_tokens as (

    select * from {{ ref('int_profile__push_tokens') }}

),

record_customers as (

    select * from {{ ref('record_customers') }}

    where source = 'web' and table_name = 'events' {{ of_changed_customers('and') }}

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
        push_tokens.push_token as contact_point,
        true as is_usable,
        push_tokens.occurred_at as first_seen_at,
        push_tokens.occurred_at as last_seen_at

    from push_tokens

    inner join record_customers
        on push_tokens.record_key = record_customers.record_key

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
