with

nodes as (

    select * from {{ ref('int_identity__component_nodes') }}

),

heirs as (

    select * from {{ ref('int_identity__heirs') }}

    where component_key is not null

),

previous_ids as (

    select * from {{ ref('int_identity__previous_ids') }}

),

installation as (

    select * from {{ ref('stg_cdp__installation') }}

),

heir_sizes as (

    select
        heirs.customer_id,
        heirs.component_key,
        heirs.created_as_of,
        heirs.created_build,
        count(nodes.node_key) as shared_node_count

    from heirs

    left join nodes
        on heirs.component_key = nodes.component_key
        and heirs.customer_id = nodes.previous_customer_id

    group by 1, 2, 3, 4

),

survivors as (

    select
        customer_id,
        component_key,
        row_number() over (
            partition by component_key
            order by created_as_of asc, created_build asc, shared_node_count desc, customer_id asc
        ) as survivor_rank

    from heir_sizes

),

restorable as (

    select
        previous_ids.customer_id,
        nodes.component_key,
        row_number() over (
            partition by nodes.component_key
            order by
                previous_ids.created_as_of asc,
                previous_ids.created_build asc,
                previous_ids.customer_id asc
        ) as restore_rank

    from previous_ids

    inner join nodes
        on previous_ids.anchor_node_key = nodes.node_key

    where previous_ids.status = 'merged'

),

issued as (

    select
        minted_node_key,
        count(*) as issue_count

    from previous_ids

    group by 1

),

component_ids as (

    select
        nodes.component_key,
        nodes.component_size,
        nodes.node_key as best_node_key,
        coalesce(
            survivors.customer_id,
            restorable.customer_id,
            md5(
                installation.installation_salt
                || '|' || cast(nodes.node_key as {{ dbt.type_string() }})
                || '|' || cast(coalesce(issued.issue_count, 0) as {{ dbt.type_string() }})
            )
        ) as customer_id,
        case
            when survivors.customer_id is not null then 'kept'
            when restorable.customer_id is not null then 'restored'
            else 'minted'
        end as id_origin

    from nodes

    cross join installation

    left join survivors
        on nodes.component_key = survivors.component_key
        and survivors.survivor_rank = 1

    left join restorable
        on nodes.component_key = restorable.component_key
        and restorable.restore_rank = 1

    left join issued
        on nodes.node_key = issued.minted_node_key

    where nodes.anchor_rank = 1

)

select * from component_ids
