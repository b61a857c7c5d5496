with

ranked as (

    select * from {{ ref('int_identity__anchors') }}

),

overrides as (

    select * from {{ ref('int_identity__overrides') }}

    where action = 'must_link'

),

probable_pairs as (

    select * from {{ ref('int_identity__probable_pairs') }}

    where
        match_probability >= {{ var('probable_match_threshold') }}
        and not is_joined_anyway

),

active_identifiers as (

    select node_key from {{ ref('identifiers') }}

    where status = 'active'

),

anchors as (

    select * from ranked

    where anchor_rank = 1

),

links as (

    select
        least(anchors.node_key, others.node_key) as node_a,
        greatest(anchors.node_key, others.node_key) as node_b,
        others.source || '.' || others.table_name as rule_id,
        others.tier,
        others.node_key as weaker_node_key,
        anchors.is_active and others.is_active as is_admissible,
        case
            when anchors.status = 'quarantined' or others.status = 'quarantined' then 'quarantined'
            when anchors.status = 'expired' or others.status = 'expired' then 'expired'
            else 'active'
        end as worse_status,
        others.first_observed_at,
        others.last_observed_at,
        {{ timed_key('others.first_observed_at', 'others.record_key') }} as first_record,
        {{ timed_key('others.last_observed_at', 'others.record_key') }} as last_record,
        -- Tried first: the strongest anchor's, then the strongest identifier's, then the earliest.
        anchors.priority * {{ 10 ** 14 }} + others.priority * {{ 10 ** 12 }} + coalesce(
            greatest(
                {{ seconds_between(
                    "cast('1970-01-01' as timestamp)", 'others.first_observed_at'
                ) }},
                0
            ),
            0
        ) as edge_order

    from ranked as others

    inner join anchors
        on others.source = anchors.source
        and others.table_name = anchors.table_name
        and others.record_key = anchors.record_key

    where others.anchor_rank > 1

),

deterministic_edges as (

    select
        node_a,
        node_b,
        rule_id,
        'deterministic' as edge_type,
        cast(1 as double) as weight,
        tier,
        min(weaker_node_key) as weaker_node_key,
        min(weaker_node_key) as guard_key,
        min(edge_order) as edge_order,
        is_admissible,
        worse_status,
        count(*) as evidence_count,
        min(first_observed_at) as first_seen_at,
        max(last_observed_at) as last_seen_at,
        substr(min(first_record), 20) as first_record_key,
        substr(max(last_record), 20) as last_record_key,
        cast(null as {{ dbt.type_string() }}) as override_name

    from links

    group by 1, 2, 3, 4, 5, 6, 10, 11

),

manual_edges as (

    select
        overrides.node_a,
        overrides.node_b,
        'identity_overrides' as rule_id,
        'manual_link' as edge_type,
        cast(1 as double) as weight,
        cast(0 as bigint) as tier,
        overrides.node_b as weaker_node_key,
        overrides.override_key as guard_key,
        cast(0 as bigint) as edge_order,
        true as is_admissible,
        'active' as worse_status,
        cast(1 as bigint) as evidence_count,
        cast(overrides.decided_on as timestamp) as first_seen_at,
        cast(overrides.decided_on as timestamp) as last_seen_at,
        cast(null as {{ dbt.type_string() }}) as first_record_key,
        cast(null as {{ dbt.type_string() }}) as last_record_key,
        overrides.override_name

    from overrides

),

probable_edges as (

    select
        node_a,
        node_b,
        'matching.pairs' as rule_id,
        'probable' as edge_type,
        match_weight as weight,
        cast(5 as bigint) as tier,
        node_b as weaker_node_key,
        -- Each pair stands for itself: another one of the same person is no reason to refuse it.
        {{ md5_bigint(
            "cast(node_a as " ~ dbt.type_string() ~ ") || '|' || cast(node_b as "
            ~ dbt.type_string() ~ ")"
        ) }} as guard_key,
        cast(floor((1 - match_probability) * {{ 10 ** 12 }}) as bigint) as edge_order,
        true as is_admissible,
        'active' as worse_status,
        cast(1 as bigint) as evidence_count,
        cast(null as timestamp) as first_seen_at,
        cast(null as timestamp) as last_seen_at,
        matched_on as first_record_key,
        cast(null as {{ dbt.type_string() }}) as last_record_key,
        cast(null as {{ dbt.type_string() }}) as override_name

    from probable_pairs

),

-- What a person or a model says of an identifier holds while it is active.
said_edges as (

    select said.*

    from (
        select * from manual_edges

        union all

        select * from probable_edges
    ) as said

    inner join active_identifiers as active_a
        on said.node_a = active_a.node_key

    inner join active_identifiers as active_b
        on said.node_b = active_b.node_key

),

edges as (

    select * from deterministic_edges

    union all

    select * from said_edges

)

select * from edges
