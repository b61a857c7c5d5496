with

components as (

    select * from {{ ref('identity_components') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

previous_map as (

    select * from {{ ref('int_identity__previous_map') }}

    where valid_to is null

),

nodes as (

    select
        components.component_key,
        components.component_size,
        identifiers.node_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.first_seen_at,
        previous_map.customer_id as previous_customer_id,
        row_number() over (
            partition by components.component_key
            order by
                identifiers.tier asc,
                identifiers.first_seen_at asc nulls last,
                identifiers.node_key asc
        ) as anchor_rank

    from components

    inner join identifiers
        on components.node_key = identifiers.node_key

    left join previous_map
        on identifiers.node_key = previous_map.node_key

)

select * from nodes
