with

orders as (

    select
        *,
        nullif({{ lower_case("concat_ws(' ', first_name, last_name)") }}, '') as payer_name,
        nullif(
            {{ lower_case(
                "concat_ws(' ', shipping_address_first_name, shipping_address_last_name)"
            ) }}, ''
        ) as receiver_name

    from {{ ref('stg_shopify__orders') }}

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
        sum(coalesce(refunds.refund_amount, lines_per_refund.lines_amount, 0)) as refunded_amount

    from refunds

    left join lines_per_refund
        on refunds.shopify_refund_id = lines_per_refund.shopify_refund_id

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
        case
            when orders.source_name in ('pos', 'point_of_sale') then 'store'
            else coalesce(orders.source_name, 'web')
        end as channel,
        cast(null as {{ dbt.type_string() }}) as store_id,
        orders.ordered_at,
        orders.order_amount,
        case
            when orders.cancelled_at is not null then orders.order_amount
            else coalesce(refunds_per_order.refunded_amount, 0)
        end as refunded_amount,
        cast(0 as decimal(18, 4)) as points_amount,
        orders.tax_amount,
        coalesce(
            orders.shipping_amount,
            case
                when orders.subtotal_amount is not null
                    then greatest(
                        orders.order_amount - orders.subtotal_amount - case
                            when orders.is_tax_included then 0 else coalesce(orders.tax_amount, 0)
                        end,
                        0
                    )
            end
        ) as shipping_amount,
        orders.currency,
        first_payments.payment_method,
        orders.cancelled_at is not null as is_cancelled,
        false as is_credit_note,
        orders.cancelled_at is null and orders.order_amount > 0 as is_revenue,
        orders.payer_name <> orders.receiver_name as is_gift

    from orders

    left join refunds_per_order
        on orders.shopify_order_id = refunds_per_order.shopify_order_id

    left join first_payments
        on orders.shopify_order_id = first_payments.shopify_order_id
        and first_payments.payment_rank = 1

)

select * from shopify_orders
