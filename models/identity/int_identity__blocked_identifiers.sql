with

observations as (

    select distinct
        node_key,
        identifier_type,
        {{ lower_case('identifier_value') }} as identifier_value

    from {{ ref('int_identity__observations') }}

),

blocked_identifiers as (

    select * from {{ ref('blocked_identifiers') }}

),

matches_of_each_kind as (

    select
        observations.node_key,
        blocked_identifiers.pattern,
        blocked_identifiers.blocks_sending,
        blocked_identifiers.reason

    from observations

    inner join blocked_identifiers
        on observations.identifier_value = blocked_identifiers.pattern
        and blocked_identifiers.match_type = 'exact'
        and blocked_identifiers.identifier_type in ('any', observations.identifier_type)

    union all

    select
        observations.node_key,
        blocked_identifiers.pattern,
        blocked_identifiers.blocks_sending,
        blocked_identifiers.reason

    from observations

    inner join blocked_identifiers
        on {{ dbt.split_part('observations.identifier_value', "'@'", 1) }} || '@'
        = blocked_identifiers.pattern
        and blocked_identifiers.match_type = 'prefix'
        and observations.identifier_type = blocked_identifiers.identifier_type

    union all

    select
        observations.node_key,
        blocked_identifiers.pattern,
        blocked_identifiers.blocks_sending,
        blocked_identifiers.reason

    from observations

    inner join blocked_identifiers
        on '@' || {{ dbt.split_part('observations.identifier_value', "'@'", 2) }}
        = blocked_identifiers.pattern
        and blocked_identifiers.match_type = 'suffix'
        and observations.identifier_type = blocked_identifiers.identifier_type

    union all

    select
        observations.node_key,
        blocked_identifiers.pattern,
        blocked_identifiers.blocks_sending,
        blocked_identifiers.reason

    from observations

    inner join blocked_identifiers
        on blocked_identifiers.identifier_type in ('any', observations.identifier_type)
        and blocked_identifiers.match_type in ('regex', 'not_regex')

    where
        {{ matches_pattern_of(
            'observations.identifier_value',
            'blocked_identifiers.pattern',
            ref('blocked_identifiers'),
        ) }} = (blocked_identifiers.match_type = 'regex')

),

blocked as (

    select
        node_key,
        max(case when blocks_sending then 1 else 0 end) = 1 as blocks_sending,
        min(reason) as blocked_reason

    from matches_of_each_kind

    group by 1

)

select * from blocked
