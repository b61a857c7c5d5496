with

previous_ids as (

    select * from {{ ref('int_identity__previous_ids') }}

    where status = 'active'

),

nodes as (

    select * from {{ ref('int_identity__component_nodes') }}

),

shared_nodes as (

    select
        previous_customer_id as customer_id,
        component_key,
        count(*) as shared_node_count

    from nodes

    where previous_customer_id is not null

    group by 1, 2

),

claims as (

    select
        previous_ids.customer_id,
        shared_nodes.component_key,
        coalesce(shared_nodes.shared_node_count, 0) as shared_node_count,
        false as holds_anchor

    from previous_ids

    inner join shared_nodes
        on previous_ids.customer_id = shared_nodes.customer_id

    union all

    select
        previous_ids.customer_id,
        nodes.component_key,
        0 as shared_node_count,
        true as holds_anchor

    from previous_ids

    inner join nodes
        on previous_ids.anchor_node_key = nodes.node_key

),

ranked as (

    select
        customer_id,
        component_key,
        row_number() over (
            partition by customer_id
            order by holds_anchor desc, shared_node_count desc, component_key asc
        ) as claim_rank

    from claims

),

heirs as (

    select
        previous_ids.customer_id,
        previous_ids.created_as_of,
        previous_ids.created_build,
        ranked.component_key

    from previous_ids

    left join ranked
        on previous_ids.customer_id = ranked.customer_id
        and ranked.claim_rank = 1

)

select * from heirs
