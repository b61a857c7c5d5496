{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'stg_shopify__refunds'}}}) }}
-- They count up to what the order cost: look at the shop's books.
with

orders as (

    select * from {{ ref('stg_shopify__orders') }}

    where not is_deleted

),

refunds as (

    select * from {{ ref('stg_shopify__refunds') }}

),

refund_lines as (

    select * from {{ ref('stg_shopify__order_line_refunds') }}

),

lines_per_refund as (

    select
        shopify_refund_id,
        sum(coalesce(subtotal_amount, 0) + coalesce(tax_amount, 0)) as lines_amount

    from refund_lines

    group by 1

),

refunds_per_order as (

    select
        refunds.shopify_order_id,
        sum(coalesce(refunds.refund_amount, lines_per_refund.lines_amount, 0)) as refund_amount

    from refunds

    left join lines_per_refund
        on refunds.shopify_refund_id = lines_per_refund.shopify_refund_id

    group by 1

)

select
    orders.shopify_order_id,
    orders.order_amount,
    refunds_per_order.refund_amount

from orders

inner join refunds_per_order
    on orders.shopify_order_id = refunds_per_order.shopify_order_id

where refunds_per_order.refund_amount > orders.order_amount
