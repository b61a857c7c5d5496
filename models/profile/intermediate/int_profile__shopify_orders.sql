with

orders as (

    select * from {{ ref('stg_shopify__orders') }}

    where
        not is_deleted
        and coalesce(is_test, false) = false

),

refund_lines as (

    select * from {{ ref('stg_shopify__order_line_refunds') }}

),

refunds as (

    select * from {{ ref('stg_shopify__refunds') }}

),

payments as (

    select * from {{ ref('stg_shopify__tender_transactions') }}

),

refunds_per_order as (

    select
        refunds.shopify_order_id,
        sum(
            coalesce(refund_lines.subtotal_amount, 0) + coalesce(refund_lines.tax_amount, 0)
        ) as refunded_amount

    from refunds

    inner join refund_lines
        on refunds.shopify_refund_id = refund_lines.shopify_refund_id

    group by 1

),

first_payments as (

    select
        shopify_order_id,
        payment_method,
        row_number() over (
            partition by shopify_order_id
            order by processed_at asc nulls last, shopify_transaction_id asc
        ) as payment_rank

    from payments

),

shopify_orders as (

    select
        'shopify:' || orders.shopify_order_id as order_id,
        'shopify' as source,
        'order' as table_name,
        orders.record_key,
        coalesce(orders.source_name, 'web') as channel,
        orders.ordered_at,
        orders.order_amount,
        case
            when orders.cancelled_at is not null then orders.order_amount
            else least(coalesce(refunds_per_order.refunded_amount, 0), orders.order_amount)
        end as refunded_amount,
        orders.currency,
        first_payments.payment_method,
        orders.cancelled_at is not null as is_cancelled,
        false as is_credit_note,
        orders.cancelled_at is null and orders.order_amount > 0 as is_revenue

    from orders

    left join refunds_per_order
        on orders.shopify_order_id = refunds_per_order.shopify_order_id

    left join first_payments
        on orders.shopify_order_id = first_payments.shopify_order_id
        and first_payments.payment_rank = 1

)

select * from shopify_orders
