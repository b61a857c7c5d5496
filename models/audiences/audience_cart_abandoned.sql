with

carts as (

    select * from {{ ref('carts') }}

    where
        customer_id is not null
        and completed_at is null

),

orders as (

    select * from {{ ref('orders') }}

    where
        customer_id is not null
        and is_revenue

),

settings as (

    {{ audience_settings('cart_abandoned', ['min_days_since_cart', 'below_days_since_cart']) }}

),

recent_carts as (

    select
        carts.customer_id,
        carts.started_at

    from carts

    cross join settings

    where
        {{ days_until_as_of_date('carts.started_at') }} >= settings.min_days_since_cart
        and {{ days_until_as_of_date('carts.started_at') }} < settings.below_days_since_cart

),

ordered_after as (

    select distinct
        recent_carts.customer_id,
        recent_carts.started_at

    from recent_carts

    inner join orders
        on recent_carts.customer_id = orders.customer_id
        and recent_carts.started_at <= orders.ordered_at

),

audience as (

    select distinct recent_carts.customer_id

    from recent_carts

    left join ordered_after
        on recent_carts.customer_id = ordered_after.customer_id
        and recent_carts.started_at = ordered_after.started_at

    where ordered_after.customer_id is null

)

select * from audience
