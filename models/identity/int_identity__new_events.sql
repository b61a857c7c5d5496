with

registry_next as (

    select * from {{ ref('int_identity__registry_next') }}

),

nodes as (

    select * from {{ ref('int_identity__component_nodes') }}

),

origins as (

    select
        registry_next.customer_id,
        nodes.previous_customer_id,
        count(*) as node_count

    from registry_next

    inner join nodes
        on registry_next.component_key = nodes.component_key

    where
        nodes.previous_customer_id is not null
        and nodes.previous_customer_id <> registry_next.customer_id

    group by 1, 2

),

largest_origins as (

    select
        customer_id,
        previous_customer_id,
        row_number() over (
            partition by customer_id
            order by node_count desc, previous_customer_id asc
        ) as origin_rank

    from origins

),

new_ids as (

    select
        case
            when registry_next.id_origin = 'restored' then 'restore'
            when largest_origins.previous_customer_id is not null then 'split'
            else 'create'
        end as event_type,
        registry_next.customer_id,
        case
            when registry_next.id_origin = 'restored' then registry_next.previous_merged_into
            else largest_origins.previous_customer_id
        end as other_customer_id,
        registry_next.component_size as node_count

    from registry_next

    left join largest_origins
        on registry_next.customer_id = largest_origins.customer_id
        and largest_origins.origin_rank = 1

    where registry_next.id_origin in ('minted', 'restored')

),

ended_ids as (

    select
        case when status = 'merged' then 'merge' else 'retire' end as event_type,
        customer_id,
        merged_into as other_customer_id,
        cast(null as bigint) as node_count

    from registry_next

    where
        previous_status in ('active', 'merged')
        and status in ('merged', 'retired')
        and (previous_status <> status)

),

moves as (

    select
        'move' as event_type,
        origins.customer_id,
        origins.previous_customer_id as other_customer_id,
        origins.node_count

    from origins

    inner join registry_next as destinations
        on origins.customer_id = destinations.customer_id

    inner join registry_next as sources
        on origins.previous_customer_id = sources.customer_id

    where
        sources.status = 'active'
        and (
            destinations.id_origin = 'kept'
            or (
                destinations.id_origin = 'restored'
                and destinations.previous_merged_into <> origins.previous_customer_id
            )
        )

),

reanchored_ids as (

    select
        'reanchor' as event_type,
        customer_id,
        cast(null as {{ dbt.type_string() }}) as other_customer_id,
        component_size as node_count

    from registry_next

    where
        id_origin = 'kept'
        and anchor_node_key <> previous_anchor_node_key

),

new_events as (

    select * from new_ids

    union all

    select * from ended_ids

    union all

    select * from moves

    union all

    select * from reanchored_ids

),

build as (

    select max(build_number) as build_number

    from registry_next

),

sequenced as (

    select
        new_events.event_type,
        new_events.customer_id,
        new_events.other_customer_id,
        new_events.node_count,
        {{ as_of_timestamp() }} as recorded_at,
        row_number() over (
            order by
                new_events.event_type asc,
                new_events.customer_id asc,
                new_events.other_customer_id asc nulls last
        ) as event_sequence,
        build.build_number,
        '{{ var("run_id", invocation_id) }}' as run_id

    from new_events

    cross join build

)

select * from sequenced
