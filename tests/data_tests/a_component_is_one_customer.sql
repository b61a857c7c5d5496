{{ config(meta={'dagster': {'ref': {'name': 'identity_components'}}}) }}
with

components as (

    select
        identity_components.component_key,
        count(distinct identity_map.customer_id) as customer_count

    from {{ ref('identity_components') }} as identity_components

    inner join {{ ref('identity_map') }} as identity_map
        on identity_components.node_key = identity_map.node_key
        and identity_map.is_current

    group by 1

),

customers as (

    select
        identity_map.customer_id,
        count(distinct identity_components.component_key) as component_count

    from {{ ref('identity_map') }} as identity_map

    inner join {{ ref('identity_components') }} as identity_components
        on identity_map.node_key = identity_components.node_key

    where identity_map.is_current

    group by 1

)

select cast(component_key as {{ dbt.type_string() }}) as broken
from components
where customer_count <> 1

union all

select customer_id as broken
from customers
where component_count <> 1
