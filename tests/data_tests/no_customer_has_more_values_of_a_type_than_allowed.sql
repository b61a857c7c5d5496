{{ config(meta={'dagster': {'ref': {'name': 'identity_map'}}}) }}
with

identity_map as (

    select * from {{ ref('identity_map') }}

    where is_current

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

)

select
    identity_map.customer_id,
    identity_map.identifier_type

from identity_map

inner join identifier_types
    on identity_map.identifier_type = identifier_types.identifier_type

group by 1, 2

having count(*) > max(identifier_types.max_per_customer)
