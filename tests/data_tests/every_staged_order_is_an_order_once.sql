{{ config(meta={'dagster': {'ref': {'name': 'orders'}}}) }}
with

staged as (

    select ('shopify:' || shopify_order_id) as order_id

    from {{ ref('stg_shopify__orders') }}

    where
        not is_deleted
        and coalesce(is_test, false) = false

    union

    select ('erp:' || invoice_no) as order_id

    from {{ ref('stg_erp__invoice_lines') }}

),

orders as (

    select order_id from {{ ref('orders') }}

)

select coalesce(staged.order_id, orders.order_id) as order_id

from staged

full outer join orders
    on staged.order_id = orders.order_id

where
    staged.order_id is null
    or orders.order_id is null
