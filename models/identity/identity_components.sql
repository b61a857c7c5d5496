{{ config(
    pre_hook="{{ solve_identity_components(ref('identifiers'), ref('int_identity__admissible_edges'), ref('identifier_types'), ref('int_identity__overrides')) }}",
) }}
-- The work is in the hook (macros/identity/components.sql and changes.sql), which leaves the
-- labels of every identifier with an edge; one without is a component of its own.
with

identifiers as (

    select node_key from {{ ref('identifiers') }}

    where status = 'active'

),

labels as (

    select * from {{ solved('labels') }}

),

labelled as (

    select
        identifiers.node_key,
        coalesce(labels.component_key, identifiers.node_key) as component_key,
        coalesce(labels.evidence_key, identifiers.node_key) as evidence_key

    from identifiers

    left join labels
        on identifiers.node_key = labels.node_key

),

sized as (

    select
        node_key,
        component_key,
        evidence_key,
        count(*) over (partition by component_key) as component_size

    from labelled

)

select * from sized
