{{ config(materialized='view') }}
with

edges as (

    select * from {{ ref('int_identity__edges') }}

    where is_admissible

)

select
    node_a,
    node_b,
    tier,
    guard_key,
    edge_order

from edges
