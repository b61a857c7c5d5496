with

edges as (

    select * from {{ ref('int_identity__edges') }}

    where is_admissible

),

components as (

    select * from {{ ref('identity_components') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

    where status = 'active'

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

    where max_per_customer is not null

),

overrides as (

    select * from {{ ref('int_identity__overrides') }}

    where action = 'cannot_link'

),

refused as (

    select
        edges.node_a,
        edges.node_b,
        edges.tier,
        edges.guard_key,
        component_a.component_key as component_a,
        component_b.component_key as component_b

    from edges

    inner join components as component_a
        on edges.node_a = component_a.node_key

    inner join components as component_b
        on edges.node_b = component_b.node_key

    where component_a.component_key <> component_b.component_key

),

-- What would be one customer: all that the guard's edges of the tier touch.
touched as (

    select
        tier,
        guard_key,
        component_a as component_key

    from refused

    union

    select
        tier,
        guard_key,
        component_b as component_key

    from refused

),

kept_apart as (

    select
        touched.tier,
        touched.guard_key,
        min(overrides.override_name) as override_name

    from overrides

    inner join components as component_a
        on overrides.node_a = component_a.node_key

    inner join components as component_b
        on overrides.node_b = component_b.node_key

    inner join touched
        on component_a.component_key = touched.component_key

    inner join touched as other_touched
        on touched.tier = other_touched.tier
        and touched.guard_key = other_touched.guard_key
        and component_b.component_key = other_touched.component_key

    group by 1, 2

),

values_of_components as (

    select
        touched.tier,
        touched.guard_key,
        touched.component_key,
        identifier_types.identifier_type,
        identifier_types.priority,
        identifier_types.max_per_customer,
        count(*) as value_count

    from touched

    inner join components
        on touched.component_key = components.component_key

    inner join identifiers
        on components.node_key = identifiers.node_key

    inner join identifier_types
        on identifiers.identifier_type = identifier_types.identifier_type

    group by 1, 2, 3, 4, 5, 6

),

-- A limit that one part already broke, by a must_link, stops only what breaks it further.
values_of_types as (

    select
        tier,
        guard_key,
        identifier_type,
        priority,
        max_per_customer,
        cast(sum(value_count) as bigint) as value_count,
        greatest(max_per_customer, max(value_count)) as allowed_count

    from values_of_components

    group by 1, 2, 3, 4, 5

),

broken_limits as (

    select
        tier,
        guard_key,
        identifier_type as limit_type,
        max_per_customer,
        value_count,
        row_number() over (partition by tier, guard_key order by priority asc) as limit_rank

    from values_of_types

    where value_count > allowed_count

),

guards as (

    select distinct
        tier,
        guard_key

    from touched

),

refusals as (

    select
        guards.tier,
        guards.guard_key,
        case
            when kept_apart.guard_key is not null then 'cannot_link'
            when broken_limits.max_per_customer = 1 then 'unique_type_conflict'
            when broken_limits.guard_key is not null then 'max_per_customer'
            -- Others of the tier came before it and left no room.
            else 'tier_conflict'
        end as status_reason,
        case
            when kept_apart.guard_key is null then broken_limits.limit_type
        end as limit_type,
        case when kept_apart.guard_key is null then broken_limits.value_count end as observed_value,
        case
            when kept_apart.guard_key is null then broken_limits.max_per_customer
        end as limit_value,
        kept_apart.override_name

    from guards

    left join kept_apart
        on guards.tier = kept_apart.tier
        and guards.guard_key = kept_apart.guard_key

    left join broken_limits
        on guards.tier = broken_limits.tier
        and guards.guard_key = broken_limits.guard_key
        and broken_limits.limit_rank = 1

)

select * from refusals
