with

identifiers as (

    select * from {{ ref('identifiers') }}

    where status = 'quarantined'

),

refused_edges as (

    select * from {{ ref('identity_edges') }}

    where status = 'refused'

),

identifier_names as (

    select
        node_key,
        identifier_type,
        identifier_value

    from {{ ref('identifiers') }}

),

previous_quarantine as (

    select * from {{ ref('int_identity__previous_quarantine') }}

),

refused_now as (

    select
        md5(status_reason || '|' || cast(node_key as {{ dbt.type_string() }})) as quarantine_key,
        status_reason as reason,
        identifier_type,
        identifier_value,
        cast(null as {{ dbt.type_string() }}) as rule_id,
        case
            when status_reason = 'cardinality_cap' then strong_degree
            when status_reason = 'many_names' then given_name_count
        end as observed_value,
        case
            when status_reason = 'cardinality_cap' then max_strong_per_value
            when status_reason = 'many_names' then max_given_names
        end as limit_value

    from identifiers

    union all

    select
        md5(concat_ws(
            '|',
            refused_edges.status_reason,
            refused_edges.rule_id,
            cast(refused_edges.node_a as {{ dbt.type_string() }}),
            cast(refused_edges.node_b as {{ dbt.type_string() }})
        )) as quarantine_key,
        refused_edges.status_reason as reason,
        identifier_names.identifier_type,
        identifier_names.identifier_value,
        refused_edges.rule_id,
        refused_edges.observed_value,
        refused_edges.limit_value

    from refused_edges

    inner join identifier_names
        on refused_edges.weaker_node_key = identifier_names.node_key

),

quarantine_next as (

    select
        coalesce(refused_now.quarantine_key, previous_quarantine.quarantine_key) as quarantine_key,
        coalesce(refused_now.reason, previous_quarantine.reason) as reason,
        coalesce(
            refused_now.identifier_type, previous_quarantine.identifier_type
        ) as identifier_type,
        coalesce(
            refused_now.identifier_value, previous_quarantine.identifier_value
        ) as identifier_value,
        coalesce(refused_now.rule_id, previous_quarantine.rule_id) as rule_id,
        coalesce(refused_now.observed_value, previous_quarantine.observed_value) as observed_value,
        coalesce(refused_now.limit_value, previous_quarantine.limit_value) as limit_value,
        coalesce(
            previous_quarantine.first_recorded_at, {{ as_of_timestamp() }}
        ) as first_recorded_at,
        case
            when refused_now.quarantine_key is not null then {{ as_of_timestamp() }}
            else previous_quarantine.last_recorded_at
        end as last_recorded_at,
        case
            when refused_now.quarantine_key is null
                then coalesce(previous_quarantine.released_at, {{ as_of_timestamp() }})
        end as released_at

    from refused_now

    full outer join previous_quarantine
        on refused_now.quarantine_key = previous_quarantine.quarantine_key

)

select * from quarantine_next
