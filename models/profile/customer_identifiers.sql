with

identity_map as (

    select * from {{ ref('identity_map') }}

    where is_current

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

customer_identifiers as (

    select
        identity_map.customer_id,
        identity_map.identifier_type,
        identity_map.identifier_value,
        identifiers.tier,
        identifiers.first_seen_at,
        identifiers.last_seen_at

    from identity_map

    inner join identifiers
        on identity_map.node_key = identifiers.node_key

)

select * from customer_identifiers
