with

edges as (

    select * from {{ ref('int_identity__edges') }}

),

components as (

    select * from {{ ref('identity_components') }}

),

refusals as (

    select * from {{ ref('int_identity__refusals') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

judged as (

    select
        edges.node_a,
        edges.node_b,
        edges.rule_id,
        edges.edge_type,
        edges.weight,
        edges.tier,
        edges.weaker_node_key,
        edges.evidence_count,
        edges.first_seen_at,
        edges.last_seen_at,
        edges.first_record_key,
        edges.last_record_key,
        component_a.component_key,
        case
            when not edges.is_admissible then edges.worse_status
            when component_a.component_key = component_b.component_key then 'active'
            else 'refused'
        end as status,
        case
            -- Of the end that the edge's state is of; what expired has no other reason.
            when not edges.is_admissible
                then case
                    when identifier_a.status = edges.worse_status
                        then coalesce(identifier_a.status_reason, identifier_a.status)
                    else coalesce(identifier_b.status_reason, identifier_b.status)
                end
            when component_a.component_key <> component_b.component_key then refusals.status_reason
        end as status_reason,
        case
            when component_a.component_key <> component_b.component_key then refusals.limit_type
        end as limit_type,
        case
            when component_a.component_key <> component_b.component_key then refusals.observed_value
        end as observed_value,
        case
            when component_a.component_key <> component_b.component_key then refusals.limit_value
        end as limit_value,
        case
            when component_a.component_key <> component_b.component_key then refusals.override_name
            else edges.override_name
        end as override_name

    from edges

    inner join identifiers as identifier_a
        on edges.node_a = identifier_a.node_key

    inner join identifiers as identifier_b
        on edges.node_b = identifier_b.node_key

    left join components as component_a
        on edges.node_a = component_a.node_key

    left join components as component_b
        on edges.node_b = component_b.node_key

    left join refusals
        on edges.tier = refusals.tier
        and edges.guard_key = refusals.guard_key

)

select * from judged
