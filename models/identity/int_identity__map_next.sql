with

previous_map as (

    select * from {{ ref('int_identity__previous_map') }}

),

nodes as (

    select * from {{ ref('int_identity__component_nodes') }}

),

component_ids as (

    select * from {{ ref('int_identity__component_ids') }}

),

-- The map as it stood before this day: what another build of the day opened is replaced,
-- what it closed is open again.
before_today as (

    select
        node_key,
        identifier_type,
        identifier_value,
        customer_id,
        valid_from,
        case when closed_as_of = {{ as_of_date() }} then null else valid_to end as valid_to,
        opened_as_of,
        case when closed_as_of = {{ as_of_date() }} then null else closed_as_of end as closed_as_of

    from previous_map

    where opened_as_of < {{ as_of_date() }}

),

current_nodes as (

    select
        nodes.node_key,
        nodes.identifier_type,
        nodes.identifier_value,
        nodes.first_seen_at,
        component_ids.customer_id

    from nodes

    inner join component_ids
        on nodes.component_key = component_ids.component_key

),

mapped_before as (

    select distinct node_key from before_today

),

kept as (

    select
        before_today.node_key,
        before_today.identifier_type,
        before_today.identifier_value,
        before_today.customer_id,
        before_today.valid_from,
        case
            when before_today.valid_to is not null then before_today.valid_to
            when current_nodes.customer_id is null then {{ as_of_timestamp() }}
        end as valid_to,
        before_today.opened_as_of,
        case
            when before_today.closed_as_of is not null then before_today.closed_as_of
            when current_nodes.customer_id is null then {{ as_of_date() }}
        end as closed_as_of

    from before_today

    left join current_nodes
        on before_today.node_key = current_nodes.node_key
        and before_today.customer_id = current_nodes.customer_id

),

opened as (

    select
        current_nodes.node_key,
        current_nodes.identifier_type,
        current_nodes.identifier_value,
        current_nodes.customer_id,
        case
            when
                mapped_before.node_key is null
                then least(
                    current_nodes.first_seen_at,
                    {{ dbt.dateadd('day', 1, as_of_timestamp()) }}
                )
            else {{ as_of_timestamp() }}
        end as valid_from,
        cast(null as timestamp) as valid_to,
        {{ as_of_date() }} as opened_as_of,
        cast(null as date) as closed_as_of

    from current_nodes

    left join mapped_before
        on current_nodes.node_key = mapped_before.node_key

    left join before_today
        on current_nodes.node_key = before_today.node_key
        and current_nodes.customer_id = before_today.customer_id
        and before_today.valid_to is null

    where before_today.node_key is null

),

map_next as (

    select * from kept

    union all

    select * from opened

)

select * from map_next
