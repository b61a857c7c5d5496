with

orders as (

    select * from {{ ref('orders') }}

    where
        customer_id is not null
        and is_revenue
        and ordered_at < {{ dbt.dateadd('day', 1, as_of_timestamp()) }}

),

order_lines as (

    select * from {{ ref('order_lines') }}

),

items as (

    select
        order_id,
        sum(case when line_type = 'product' and quantity > 0 then quantity else 0 end) as item_count

    from order_lines

    group by 1

),

placed as (

    select
        orders.*,
        coalesce(items.item_count, 0) as item_count,
        row_number() over (
            partition by orders.customer_id
            order by orders.ordered_at desc nulls last, orders.order_id desc
        ) as recency_rank

    from orders

    left join items
        on orders.order_id = items.order_id

),

customer_orders as (

    select
        customer_id,
        count(*) as order_count,
        cast(sum(item_count) as bigint) as item_count,
        cast(sum(reporting_amount) as decimal(18, 4)) as order_revenue_amount,
        min(ordered_at) as first_ordered_at,
        max(case when order_number = 1 then order_id end) as first_order_id,
        max(case when order_number = 1 then reporting_amount end) as first_order_amount,
        max(case when order_number = 2 then ordered_at end) as second_ordered_at,
        max(case when order_number = 2 then order_id end) as second_order_id,
        max(case when order_number = 2 then reporting_amount end) as second_order_amount,
        max(ordered_at) as latest_ordered_at,
        max(case when recency_rank = 1 then order_id end) as latest_order_id,
        max(case when recency_rank = 1 then reporting_amount end) as latest_order_amount,
        cast(
            max(case when recency_rank = 1 then item_count end) as bigint
        ) as latest_order_item_count

    from placed

    group by 1

)

select * from customer_orders
