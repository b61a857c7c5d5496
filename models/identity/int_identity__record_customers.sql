with

ranked as (

    select * from {{ ref('int_identity__anchors') }}

    where anchor_rank = 1 and is_active

),

nodes as (

    select
        node_key,
        component_key

    from {{ ref('int_identity__component_nodes') }}

),

component_ids as (

    select * from {{ ref('int_identity__component_ids') }}

),

record_customers as (

    select
        ranked.source,
        ranked.table_name,
        ranked.record_key,
        component_ids.customer_id,
        ranked.node_key

    from ranked

    inner join nodes
        on ranked.node_key = nodes.node_key

    inner join component_ids
        on nodes.component_key = component_ids.component_key

)

select * from record_customers
