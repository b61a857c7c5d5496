with

shopify_lines as (

    select * from {{ ref('stg_shopify__order_lines') }}

),

erp_lines as (

    select * from {{ ref('stg_erp__invoice_lines') }}

),

product_codes as (

    select * from {{ ref('product_codes') }}

),

orders as (

    select
        order_id,
        customer_id

    from {{ ref('orders') }}

),

lines_of_sources as (

    select
        'shopify:' || shopify_order_line_id as order_line_id,
        'shopify:' || shopify_order_id as order_id,
        'shopify:' || shopify_product_id as product_id,
        'product' as line_type,
        quantity,
        unit_price,
        quantity * unit_price - coalesce(discount_amount, 0) as line_amount

    from shopify_lines

    union all

    select
        'erp:' || erp_lines.record_key as order_line_id,
        'erp:' || erp_lines.invoice_no as order_id,
        case
            when product_codes.code is null then 'erp:' || {{ upper_code('erp_lines.stock_code') }}
        end as product_id,
        case
            when erp_lines.invoice_no like 'A%' then 'bad_debt'
            when product_codes.code is not null then product_codes.line_type
            when erp_lines.quantity <= 0 and erp_lines.invoice_no not like 'C%'
                then 'stock_correction'
            else 'product'
        end as line_type,
        erp_lines.quantity,
        erp_lines.unit_price,
        erp_lines.quantity * erp_lines.unit_price as line_amount

    from erp_lines

    left join product_codes
        on product_codes.source = 'erp'
        and erp_lines.stock_code = product_codes.code

),

order_lines as (

    select
        lines_of_sources.order_line_id,
        lines_of_sources.order_id,
        orders.customer_id,
        lines_of_sources.product_id,
        lines_of_sources.line_type,
        cast(lines_of_sources.quantity as bigint) as quantity,
        cast(lines_of_sources.unit_price as decimal(18, 4)) as unit_price,
        cast(lines_of_sources.line_amount as decimal(18, 4)) as line_amount

    from lines_of_sources

    inner join orders
        on lines_of_sources.order_id = orders.order_id

)

select * from order_lines
