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

priced as (

    select
        orders_of_sources.order_id,
        record_customers.customer_id,
        orders_of_sources.source,
        orders_of_sources.channel,
        orders_of_sources.store_id,
        orders_of_sources.ordered_at,
        cast(orders_of_sources.order_amount as decimal(18, 4)) as order_amount,
        cast(orders_of_sources.refunded_amount as decimal(18, 4)) as refunded_amount,
        cast(orders_of_sources.points_amount as decimal(18, 4)) as points_amount,
        cast(orders_of_sources.tax_amount as decimal(18, 4)) as tax_amount,
        cast(orders_of_sources.shipping_amount as decimal(18, 4)) as shipping_amount,
        -- Points were given with earlier sales and counted there; money back comes first.
        case
            when orders_of_sources.is_credit_note
                then cast(-orders_of_sources.refunded_amount as decimal(18, 4))
            else cast(greatest(
                orders_of_sources.order_amount - orders_of_sources.refunded_amount
                - orders_of_sources.points_amount, 0
            ) as decimal(18, 4))
        end as net_amount,
        orders_of_sources.currency,
        case
            when orders_of_sources.currency = '{{ var("reporting_currency") }}'
                then cast(1 as decimal(18, 8))
            else exchange_rates.rate_to_reporting
        end as rate_to_reporting,
        orders_of_sources.payment_method,
        orders_of_sources.is_cancelled,
        orders_of_sources.is_credit_note,
        orders_of_sources.is_revenue

    from orders_of_sources

    left join record_customers
        on orders_of_sources.source = record_customers.source
        and orders_of_sources.table_name = record_customers.table_name
        and orders_of_sources.record_key = record_customers.record_key

    left join exchange_rates
        on orders_of_sources.currency = exchange_rates.currency
        and cast(orders_of_sources.ordered_at as date) >= exchange_rates.valid_from
        and cast(orders_of_sources.ordered_at as date) < exchange_rates.valid_to

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
        case
            when is_revenue and customer_id is not null then cast(row_number() over (
                partition by customer_id, is_revenue
                order by ordered_at asc nulls last, order_id asc
            ) as bigint)
        end as order_number

    from priced

)

select * from orders
