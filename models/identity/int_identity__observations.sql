with

observed as (

    select * from {{ ref('int_identity__observed') }}

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

),

observations as (

    select
        observed.source,
        observed.table_name,
        observed.record_key,
        observed.identifier_type,
        observed.identifier_value,
        {{ md5_bigint(
            "observed.identifier_type || '|' || observed.identifier_value"
        ) }} as node_key,
        identifier_types.tier,
        identifier_types.priority,
        identifier_types.is_strong,
        min(observed.observed_at) as first_observed_at,
        max(observed.observed_at) as last_observed_at

    from observed

    inner join identifier_types
        on observed.identifier_type = identifier_types.identifier_type

    where {{ trimmed('observed.identifier_value') }} <> ''

    group by 1, 2, 3, 4, 5, 6, 7, 8, 9

)

select * from observations
