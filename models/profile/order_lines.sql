with

sold_lines as (

    select * from {{ ref('int_profile__sold_lines') }}

),

orders as (

    select
        order_id,
        customer_id

    from {{ ref('orders') }}

),

order_lines as (

    select
        sold_lines.order_line_id,
        sold_lines.order_id,
        orders.customer_id,
        sold_lines.product_id,
        sold_lines.line_type,
        cast(sold_lines.quantity as bigint) as quantity,
        cast(sold_lines.unit_price as decimal(18, 4)) as unit_price,
        cast(sold_lines.line_amount as decimal(18, 4)) as line_amount,
        cast(sold_lines.refunded_quantity as bigint) as refunded_quantity,
        cast(sold_lines.refunded_amount as decimal(18, 4)) as refunded_amount

    from sold_lines

    inner join orders
        on sold_lines.order_id = orders.order_id

)

select * from order_lines
