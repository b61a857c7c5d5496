-- Which visits may have led to which order: the customer's own, by something other than the address
-- typed in, before the order and within attribution_window_days.
with

orders as (

    select * from {{ ref('orders') }}

    where
        is_revenue
        and reporting_amount is not null

),

sessions as (

    select * from {{ ref('sessions') }}

    where
        customer_id is not null
        and channel_group <> 'direct'

),

touchpoints as (

    select
        orders.order_id,
        orders.customer_id,
        orders.ordered_at,
        orders.reporting_amount,
        sessions.session_id,
        sessions.started_at as touched_at,
        sessions.channel_group,
        sessions.campaign,
        {{ seconds_between('sessions.started_at', 'orders.ordered_at') }} as seconds_before,
        row_number() over (
            partition by orders.order_id
            order by sessions.started_at asc, sessions.session_id asc
        ) as touch_number,
        count(*) over (partition by orders.order_id) as touch_count

    from orders

    inner join sessions
        on orders.customer_id = sessions.customer_id
        and orders.ordered_at >= sessions.started_at
        and orders.ordered_at
        < {{ dbt.dateadd('day', var('attribution_window_days'), 'sessions.started_at') }}

)

select * from touchpoints
