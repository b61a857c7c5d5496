{{ config(
    pre_hook="{{ solve_identity_components(ref('identifiers'), ref('int_identity__edges'), ref('identifier_types')) }}",
) }}
-- The work is in the hook (macros/identity/components.sql), which leaves its labels in
-- scratch tables; this model keeps them.
with

labels as (

    select * from {{ scratch('labels') }}

),

sized as (

    select
        node_key,
        component_key,
        count(*) over (partition by component_key) as component_size

    from labels

)

select * from sized
