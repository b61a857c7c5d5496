{{ config(meta={'dagster': {'ref': {'name': 'orders'}}}) }}
with

receipts as (

    select * from {{ ref('stg_pos__receipts') }}

),

staged as (

    select ('shopify:' || shopify_order_id) as order_id

    from {{ ref('stg_shopify__orders') }}

    where
        not is_deleted
        and coalesce(is_test, false) = false

    union

    select ('erp:' || invoice_no) as order_id

    from {{ ref('stg_erp__invoice_lines') }}

    union

    select ('subscriptions:' || renewal_id) as order_id

    from {{ ref('stg_subscriptions__renewals') }}

    where renewal_status <> 'failed'

    union

    select ('pos:' || receipts.receipt_id) as order_id

    from receipts

    left join receipts as sales
        on receipts.original_receipt_id = sales.receipt_id
        and sales.receipt_type = 'sale'

    where
        receipts.receipt_type = 'sale'
        or sales.receipt_id is null

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
