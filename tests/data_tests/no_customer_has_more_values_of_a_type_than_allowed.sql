{{ config(meta={'dagster': {'ref': {'name': 'identity_map'}}}) }}
with

identity_map as (

    select * from {{ ref('identity_map') }}

    where is_current

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

    where max_per_customer is not null

),

manual_edges as (

    select * from {{ ref('identity_edges') }}

    where edge_type = 'manual_link' and status = 'active'

),

-- A person may join more than a limit allows, but only what they named themselves.
named_by_a_person as (

    select node_a as node_key from manual_edges

    union

    select node_b as node_key from manual_edges

)

select
    identity_map.customer_id,
    identity_map.identifier_type

from identity_map

inner join identifier_types
    on identity_map.identifier_type = identifier_types.identifier_type

left join named_by_a_person
    on identity_map.node_key = named_by_a_person.node_key

group by 1, 2

having
    count(*) > greatest(
        max(identifier_types.max_per_customer), count(named_by_a_person.node_key)
    )
