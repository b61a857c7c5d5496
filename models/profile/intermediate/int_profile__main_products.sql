-- What an order was about: its dearest line that is a product.
with

order_lines as (

    select * from {{ ref('order_lines') }}

    where
        line_type = 'product'
        and product_id is not null
        and quantity > 0

),

orders as (

    select order_id

    from {{ ref('orders') }}

    where is_revenue

),

ranked as (

    select
        order_lines.order_id,
        order_lines.product_id,
        row_number() over (
            partition by order_lines.order_id
            order by order_lines.line_amount desc, order_lines.order_line_id asc
        ) as line_rank

    from order_lines

    inner join orders
        on order_lines.order_id = orders.order_id

)

select
    order_id,
    product_id

from ranked

where line_rank = 1
