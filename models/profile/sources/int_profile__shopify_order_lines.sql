-- Money given back on a line counts up to what the line cost.
with

order_lines as (

    select * from {{ ref('stg_shopify__order_lines') }}

),

refund_lines as (

    select * from {{ ref('stg_shopify__order_line_refunds') }}

),

refunds_per_line as (

    select
        shopify_order_line_id,
        sum(coalesce(quantity, 0)) as refunded_quantity,
        sum(coalesce(subtotal_amount, 0)) as refunded_amount

    from refund_lines

    group by 1

),

priced as (

    select
        *,
        coalesce(unit_price * quantity, line_gross_amount) - coalesce(discount_amount, 0)
            as line_amount

    from order_lines

),

shopify_order_lines as (

    select
        'shopify:' || priced.shopify_order_line_id as order_line_id,
        'shopify:' || priced.shopify_order_id as order_id,
        'shopify' as source,
        priced.shopify_product_id as source_product_id,
        priced.sku,
        priced.product_name,
        'product' as line_type,
        priced.quantity,
        coalesce(
            priced.unit_price,
            case
                when priced.quantity > 0 then priced.line_gross_amount / priced.quantity
                else priced.line_gross_amount
            end
        ) as unit_price,
        priced.line_amount,
        least(coalesce(refunds_per_line.refunded_quantity, 0), priced.quantity)
            as refunded_quantity,
        least(coalesce(refunds_per_line.refunded_amount, 0), greatest(priced.line_amount, 0))
            as refunded_amount

    from priced

    left join refunds_per_line
        on priced.shopify_order_line_id = refunds_per_line.shopify_order_line_id

)

select * from shopify_order_lines
