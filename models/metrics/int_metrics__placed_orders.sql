-- What counts as an order of a customer, decided once for all order attributes: revenue orders up
-- to the end of the build's day, with the pieces that were not taken back.
with

orders as (

    select * from {{ ref('orders') }}

    where
        customer_id is not null
        and is_revenue
        and ordered_at < {{ as_of_end() }}

),

order_lines as (

    select
        order_id,
        greatest(quantity - coalesce(refunded_quantity, 0), 0) as kept_quantity

    from {{ ref('order_lines') }}

    where
        line_type = 'product'
        and quantity > 0

),

items as (

    select
        order_id,
        sum(kept_quantity) as item_count,
        max(kept_quantity) as largest_line_item_count

    from order_lines

    group by 1

),

placed_orders as (

    select
        orders.order_id,
        orders.customer_id,
        orders.channel,
        orders.store_id,
        orders.ordered_at,
        orders.reporting_amount,
        orders.is_gift,
        orders.order_number,
        cast(coalesce(items.item_count, 0) as bigint) as item_count,
        cast(coalesce(items.largest_line_item_count, 0) as bigint) as largest_line_item_count,
        {% for name, window in var('order_windows').items() %}
        {{ is_in_window('orders.ordered_at', window) }} as is_in_{{ name }},
        {% endfor %}
        {{ seconds_between('orders.ordered_at', as_of_end()) }} as seconds_ago,
        cast(row_number() over (
            partition by orders.customer_id
            order by orders.ordered_at desc, orders.order_id desc
        ) as bigint) as recency_rank

    from orders

    left join items
        on orders.order_id = items.order_id

)

select * from placed_orders
