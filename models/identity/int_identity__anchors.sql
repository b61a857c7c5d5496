with

observations as (

    select * from {{ ref('int_identity__observations') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

-- What is out of the graph comes last: it is nobody's anchor where anything else is.
ranked as (

    select
        observations.source,
        observations.table_name,
        observations.record_key,
        observations.node_key,
        observations.tier,
        observations.priority,
        identifiers.status,
        identifiers.status = 'active' as is_active,
        observations.first_observed_at,
        observations.last_observed_at,
        row_number() over (
            partition by observations.source, observations.table_name, observations.record_key
            order by
                case when identifiers.status = 'active' then 0 else 1 end asc,
                observations.tier asc,
                observations.priority asc,
                observations.last_observed_at desc nulls last,
                observations.node_key asc
        ) as anchor_rank

    from observations

    inner join identifiers
        on observations.node_key = identifiers.node_key

)

select * from ranked
