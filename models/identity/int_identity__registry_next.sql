with

previous_ids as (

    select * from {{ ref('int_identity__previous_ids') }}

),

component_ids as (

    select * from {{ ref('int_identity__component_ids') }}

),

heirs as (

    select * from {{ ref('int_identity__heirs') }}

),

nodes as (

    select
        node_key,
        component_key

    from {{ ref('int_identity__component_nodes') }}

),

build as (

    select coalesce(max(build_number), 0) + 1 as build_number

    from previous_ids

),

anchor_owners as (

    select
        previous_ids.customer_id,
        nodes.component_key,
        component_ids.customer_id as owner_customer_id

    from previous_ids

    inner join nodes
        on previous_ids.anchor_node_key = nodes.node_key

    inner join component_ids
        on nodes.component_key = component_ids.component_key

),

active_ids as (

    select
        component_ids.customer_id,
        case
            when anchor_owners.component_key = component_ids.component_key
                then previous_ids.anchor_node_key
            else component_ids.best_node_key
        end as anchor_node_key,
        coalesce(previous_ids.minted_node_key, component_ids.best_node_key) as minted_node_key,
        'active' as status,
        cast(null as {{ dbt.type_string() }}) as merged_into,
        coalesce(previous_ids.created_as_of, {{ as_of_date() }}) as created_as_of,
        previous_ids.created_build,
        cast(null as date) as ended_as_of,
        component_ids.component_key,
        component_ids.component_size,
        component_ids.id_origin,
        previous_ids.status as previous_status,
        previous_ids.merged_into as previous_merged_into,
        previous_ids.anchor_node_key as previous_anchor_node_key

    from component_ids

    left join previous_ids
        on component_ids.customer_id = previous_ids.customer_id

    left join anchor_owners
        on component_ids.customer_id = anchor_owners.customer_id

),

heir_targets as (

    select
        heirs.customer_id,
        component_ids.customer_id as heir_customer_id

    from heirs

    inner join component_ids
        on heirs.component_key = component_ids.component_key

),

ended as (

    select
        previous_ids.*,
        case
            when previous_ids.status = 'active' then heir_targets.heir_customer_id
            when previous_ids.status = 'merged' then coalesce(
                anchor_owners.owner_customer_id,
                case when target_ids.status = 'active' then target_ids.customer_id end,
                target_heirs.heir_customer_id
            )
        end as next_merged_into

    from previous_ids

    left join component_ids
        on previous_ids.customer_id = component_ids.customer_id

    left join heir_targets
        on previous_ids.customer_id = heir_targets.customer_id

    left join anchor_owners
        on previous_ids.customer_id = anchor_owners.customer_id

    left join active_ids as target_ids
        on previous_ids.merged_into = target_ids.customer_id

    left join heir_targets as target_heirs
        on previous_ids.merged_into = target_heirs.customer_id

    where component_ids.customer_id is null

),

ended_ids as (

    select
        customer_id,
        anchor_node_key,
        minted_node_key,
        case when next_merged_into is null then 'retired' else 'merged' end as status,
        next_merged_into as merged_into,
        created_as_of,
        created_build,
        coalesce(ended_as_of, {{ as_of_date() }}) as ended_as_of,
        cast(null as bigint) as component_key,
        cast(null as bigint) as component_size,
        cast(null as {{ dbt.type_string() }}) as id_origin,
        status as previous_status,
        merged_into as previous_merged_into,
        anchor_node_key as previous_anchor_node_key

    from ended

),

all_ids as (

    select * from active_ids

    union all

    select * from ended_ids

),

registry_next as (

    select
        all_ids.customer_id,
        all_ids.anchor_node_key,
        all_ids.minted_node_key,
        all_ids.status,
        all_ids.merged_into,
        all_ids.created_as_of,
        coalesce(all_ids.created_build, build.build_number) as created_build,
        all_ids.ended_as_of,
        {{ as_of_date() }} as built_as_of,
        build.build_number,
        all_ids.component_key,
        all_ids.component_size,
        all_ids.id_origin,
        all_ids.previous_status,
        all_ids.previous_merged_into,
        all_ids.previous_anchor_node_key

    from all_ids

    cross join build

)

select * from registry_next
