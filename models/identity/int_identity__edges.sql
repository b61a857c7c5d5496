with

ranked as (

    select * from {{ ref('int_identity__anchors') }}

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
        others.first_observed_at,
        others.last_observed_at

    from ranked as others

    inner join anchors
        on others.source = anchors.source
        and others.table_name = anchors.table_name
        and others.record_key = anchors.record_key

    where others.anchor_rank > 1

),

edges as (

    select
        node_a,
        node_b,
        rule_id,
        tier,
        min(weaker_node_key) as weaker_node_key,
        count(*) as evidence_count,
        min(first_observed_at) as first_seen_at,
        max(last_observed_at) as last_seen_at

    from links

    group by 1, 2, 3, 4

)

select * from edges
