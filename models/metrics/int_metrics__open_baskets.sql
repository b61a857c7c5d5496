-- A basket is open until it becomes an order or its customer orders something after it.
with

carts as (

    select * from {{ ref('carts') }}

    where
        customer_id is not null
        and started_at < {{ as_of_end() }}
        and (completed_at is null or completed_at >= {{ as_of_end() }})

),

customer_orders as (

    select * from {{ ref('int_metrics__customer_orders') }}

),

ranked as (

    select
        carts.customer_id,
        carts.started_at,
        carts.reporting_amount,
        row_number() over (
            partition by carts.customer_id
            order by carts.started_at desc, carts.cart_id asc
        ) as basket_rank

    from carts

    left join customer_orders
        on carts.customer_id = customer_orders.customer_id

    where
        customer_orders.latest_ordered_at is null
        or carts.started_at > customer_orders.latest_ordered_at

),

open_baskets as (

    select
        customer_id,
        started_at,
        reporting_amount

    from ranked

    where basket_rank = 1

)

select * from open_baskets
