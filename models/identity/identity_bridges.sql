{{ config(
    pre_hook="{{ solve_identity_bridges(ref('identity_edges'), ref('identity_components')) }}",
) }}
-- The work is in the hook (macros/identity/bridges.sql).
with

solved_bridges as (

    select * from {{ scratch('bridges') }}

),

component_ids as (

    select * from {{ ref('int_identity__component_ids') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

bridges as (

    select
        component_ids.customer_id,
        solved_bridges.node_a,
        solved_bridges.node_b,
        identifiers_a.identifier_type,
        identifiers_a.identifier_value,
        identifiers_b.identifier_type as other_identifier_type,
        identifiers_b.identifier_value as other_identifier_value,
        solved_bridges.smaller_side

    from solved_bridges

    inner join component_ids
        on solved_bridges.component_key = component_ids.component_key

    inner join identifiers as identifiers_a
        on solved_bridges.node_a = identifiers_a.node_key

    inner join identifiers as identifiers_b
        on solved_bridges.node_b = identifiers_b.node_key

)

select * from bridges
