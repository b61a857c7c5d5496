with

component_ids as (

    select * from {{ ref('int_identity__component_ids') }}

),

components as (

    select * from {{ ref('identity_components') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

edges as (

    select * from {{ ref('identity_edges') }}

),

records as (

    select * from {{ ref('int_identity__record_customers') }}

),

nodes_of_customers as (

    select
        component_ids.customer_id,
        count(*) as identifier_count,
        count(distinct identifiers.identifier_type) as identifier_type_count,
        min(identifiers.first_seen_at) as first_seen_at,
        max(identifiers.last_seen_at) as last_seen_at

    from component_ids

    inner join components
        on component_ids.component_key = components.component_key

    inner join identifiers
        on components.node_key = identifiers.node_key

    group by 1

),

-- An edge that joins is within one component; a refused one would have joined both its ends'.
ends as (

    select
        node_a as node_key,
        edge_type,
        tier,
        status

    from edges

    where status in ('active', 'refused')

    union all

    select
        node_b as node_key,
        edge_type,
        tier,
        status

    from edges

    where status = 'refused'

),

edges_of_customers as (

    select
        component_ids.customer_id,
        count(case when ends.status = 'active' then 1 end) as edge_count,
        count(case when ends.status = 'active' and ends.edge_type = 'probable' then 1 end)
            as probable_edge_count,
        count(case when ends.status = 'active' and ends.edge_type = 'manual_link' then 1 end)
            as manual_edge_count,
        count(case when ends.status = 'refused' then 1 end) as refused_edge_count,
        max(case when ends.status = 'active' then ends.tier end) as weakest_tier

    from ends

    inner join components
        on ends.node_key = components.node_key

    inner join component_ids
        on components.component_key = component_ids.component_key

    group by 1

),

records_of_customers as (

    select
        customer_id,
        count(*) as record_count,
        count(distinct source) as source_count

    from records

    group by 1

),

clusters as (

    select
        nodes_of_customers.customer_id,
        nodes_of_customers.identifier_count,
        nodes_of_customers.identifier_type_count,
        coalesce(records_of_customers.record_count, 0) as record_count,
        coalesce(records_of_customers.source_count, 0) as source_count,
        coalesce(edges_of_customers.edge_count, 0) as edge_count,
        coalesce(edges_of_customers.probable_edge_count, 0) as probable_edge_count,
        coalesce(edges_of_customers.manual_edge_count, 0) as manual_edge_count,
        coalesce(edges_of_customers.refused_edge_count, 0) as refused_edge_count,
        edges_of_customers.weakest_tier,
        nodes_of_customers.first_seen_at,
        nodes_of_customers.last_seen_at,
        nodes_of_customers.identifier_count > {{ var('max_cluster_size') }} as is_oversized

    from nodes_of_customers

    left join edges_of_customers
        on nodes_of_customers.customer_id = edges_of_customers.customer_id

    left join records_of_customers
        on nodes_of_customers.customer_id = records_of_customers.customer_id

)

select * from clusters
