with

edges as (

    select * from {{ ref('int_identity__edges') }}

),

components as (

    select * from {{ ref('identity_components') }}

),

judged as (

    select
        edges.node_a,
        edges.node_b,
        edges.rule_id,
        'deterministic' as edge_type,
        cast(1 as double) as weight,
        edges.tier,
        edges.weaker_node_key,
        edges.evidence_count,
        edges.first_seen_at,
        edges.last_seen_at,
        case
            when component_a.component_key = component_b.component_key then 'active'
            else 'refused'
        end as status,
        case
            when component_a.component_key <> component_b.component_key then 'unique_type_conflict'
        end as status_reason

    from edges

    inner join components as component_a
        on edges.node_a = component_a.node_key

    inner join components as component_b
        on edges.node_b = component_b.node_key

)

select * from judged
