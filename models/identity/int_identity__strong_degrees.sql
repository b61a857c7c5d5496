with

observations as (

    select * from {{ ref('int_identity__observations') }}

),

blocked as (

    select * from {{ ref('int_identity__blocked_identifiers') }}

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

),

admissible as (

    select observations.*

    from observations

    left join blocked
        on observations.node_key = blocked.node_key

    where blocked.node_key is null

),

meetings as (

    select distinct
        weak.node_key,
        strong.node_key as strong_node_key,
        strong.identifier_type as strong_type,
        cast(weak.last_observed_at as date) as met_on

    from admissible as weak

    inner join admissible as strong
        on weak.source = strong.source
        and weak.table_name = strong.table_name
        and weak.record_key = strong.record_key

    where
        strong.is_strong
        and strong.node_key <> weak.node_key

),

limits as (

    select
        admissible.node_key,
        max(identifier_types.window_days) as window_days

    from admissible

    inner join identifier_types
        on admissible.identifier_type = identifier_types.identifier_type

    where identifier_types.max_strong_per_value is not null

    group by 1

),

met_within_window as (

    select
        later.node_key,
        later.met_on,
        later.strong_type,
        count(distinct earlier.strong_node_key) as strong_count

    from meetings as later

    inner join limits
        on later.node_key = limits.node_key

    inner join meetings as earlier
        on later.node_key = earlier.node_key
        and later.strong_type = earlier.strong_type
        and later.met_on >= earlier.met_on
        and {{ dbt.datediff(
            'earlier.met_on', 'later.met_on', 'day'
        ) }} < coalesce(limits.window_days, 1000000)

    group by 1, 2, 3

),

strong_degrees as (

    select
        node_key,
        max(strong_count) as strong_degree

    from met_within_window

    group by 1

)

select * from strong_degrees
