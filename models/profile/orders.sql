with

orders_of_sources as (

    select * from {{ ref('int_profile__orders_of_sources') }}

),

record_customers as (

    select * from {{ ref('record_customers') }}

),

exchange_rates as (

    select * from {{ ref('int_profile__exchange_rates') }}

),

-- No more is given back, and no more paid with points, than was owed; a credit note owes nothing.
settled as (

    select
        *,
        case
            when is_credit_note then refunded_amount
            else least(refunded_amount, greatest(order_amount, 0))
        end as settled_refund_amount,
        least(points_amount, greatest(order_amount, 0)) as settled_points_amount

    from orders_of_sources

),

priced as (

    select
        settled.order_id,
        record_customers.customer_id,
        settled.source,
        settled.channel,
        settled.store_id,
        settled.ordered_at,
        cast(settled.order_amount as decimal(18, 4)) as order_amount,
        cast(settled.settled_refund_amount as decimal(18, 4)) as refunded_amount,
        cast(settled.settled_points_amount as decimal(18, 4)) as points_amount,
        cast(settled.tax_amount as decimal(18, 4)) as tax_amount,
        cast(settled.shipping_amount as decimal(18, 4)) as shipping_amount,
        -- Points were given with earlier sales and counted there; money back comes first.
        cast(
            settled.order_amount - settled.settled_refund_amount - least(
                settled.settled_points_amount,
                greatest(settled.order_amount - settled.settled_refund_amount, 0)
            ) as decimal(18, 4)
        ) as net_amount,
        settled.currency,
        case
            when settled.currency = '{{ var("reporting_currency") }}'
                then cast(1 as decimal(18, 8))
            else exchange_rates.rate_to_reporting
        end as rate_to_reporting,
        settled.payment_method,
        settled.is_cancelled,
        settled.is_credit_note,
        settled.is_revenue,
        settled.is_gift

    from settled

    left join record_customers
        on settled.source = record_customers.source
        and settled.table_name = record_customers.table_name
        and settled.record_key = record_customers.record_key

    left join exchange_rates
        on settled.currency = exchange_rates.currency
        and cast(settled.ordered_at as date) >= exchange_rates.valid_from
        and cast(settled.ordered_at as date) < exchange_rates.valid_to

),

orders as (

    select
        order_id,
        customer_id,
        source,
        channel,
        store_id,
        ordered_at,
        order_amount,
        refunded_amount,
        points_amount,
        tax_amount,
        shipping_amount,
        net_amount,
        currency,
        cast(round(
            cast(net_amount as decimal(18, 4)) * cast(rate_to_reporting as decimal(18, 8)), 4
        ) as decimal(18, 4)) as reporting_amount,
        payment_method,
        is_cancelled,
        is_credit_note,
        is_revenue,
        is_gift,
        case
            when is_revenue and customer_id is not null then cast(row_number() over (
                partition by customer_id, is_revenue
                order by ordered_at asc nulls last, order_id asc
            ) as bigint)
        end as order_number

    from priced

)

select * from orders
