{{ config(meta={'dagster': {'ref': {'name': 'identity_map'}}}) }}
with

identifiers as (

    select * from {{ ref('identifiers') }}

    where status = 'active'

),

identity_map as (

    select
        node_key,
        count(*) as customer_count

    from {{ ref('identity_map') }}

    where is_current

    group by 1

)

select identifiers.node_key

from identifiers

left join identity_map
    on identifiers.node_key = identity_map.node_key

where coalesce(identity_map.customer_count, 0) <> 1
