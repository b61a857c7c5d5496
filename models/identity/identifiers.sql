with

observations as (

    select * from {{ ref('int_identity__observations') }}

),

blocked as (

    select * from {{ ref('int_identity__blocked_identifiers') }}

),

strong_degrees as (

    select * from {{ ref('int_identity__strong_degrees') }}

),

detected as (

    select * from {{ ref('blocked_values_detected') }}

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

),

nodes as (

    select
        node_key,
        identifier_type,
        identifier_value,
        min(first_observed_at) as first_seen_at,
        max(last_observed_at) as last_seen_at,
        count(distinct source) as source_count

    from observations

    group by 1, 2, 3

),

judged as (

    select
        nodes.node_key,
        md5(nodes.identifier_type || '|' || nodes.identifier_value) as node_hash,
        nodes.identifier_type,
        nodes.identifier_value,
        identifier_types.tier,
        identifier_types.is_strong,
        nodes.first_seen_at,
        nodes.last_seen_at,
        nodes.source_count,
        coalesce(strong_degrees.strong_degree, 0) as strong_degree,
        identifier_types.max_strong_per_value,
        detected.given_name_count,
        identifier_types.max_given_names,
        blocked.blocked_reason,
        coalesce(blocked.blocks_sending, false) as blocks_sending,
        case
            when blocked.node_key is not null then 'quarantined'
            when detected.node_key is not null then 'quarantined'
            when strong_degrees.strong_degree > identifier_types.max_strong_per_value
                then 'quarantined'
            when {{ days_until_as_of_date('nodes.last_seen_at') }} > identifier_types.expire_days
                then 'expired'
            else 'active'
        end as status,
        case
            when blocked.node_key is not null then 'junk_value'
            when detected.node_key is not null then 'many_names'
            when strong_degrees.strong_degree > identifier_types.max_strong_per_value
                then 'cardinality_cap'
        end as status_reason

    from nodes

    inner join identifier_types
        on nodes.identifier_type = identifier_types.identifier_type

    left join blocked
        on nodes.node_key = blocked.node_key

    left join detected
        on nodes.node_key = detected.node_key

    left join strong_degrees
        on nodes.node_key = strong_degrees.node_key

)

select * from judged
