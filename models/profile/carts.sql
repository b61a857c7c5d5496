with

checkouts as (

    select * from {{ ref('stg_shopify__abandoned_checkouts') }}

    where not is_deleted

),

record_customers as (

    select * from {{ ref('record_customers') }}

    where
        source = 'shopify'
        and table_name = 'abandoned_checkout'

),

exchange_rates as (

    select * from {{ ref('int_profile__exchange_rates') }}

),

carts as (

    select
        'shopify:' || checkouts.shopify_checkout_id as cart_id,
        record_customers.customer_id,
        'shopify' as source,
        checkouts.created_at as started_at,
        checkouts.completed_at,
        cast(checkouts.cart_amount as decimal(18, 4)) as cart_amount,
        checkouts.currency,
        case
            when checkouts.currency = '{{ var("reporting_currency") }}'
                then cast(checkouts.cart_amount as decimal(18, 4))
            else cast(round(
                cast(checkouts.cart_amount as decimal(18, 4))
                * cast(exchange_rates.rate_to_reporting as decimal(18, 8)), 4
            ) as decimal(18, 4))
        end as reporting_amount

    from checkouts

    left join record_customers
        on checkouts.record_key = record_customers.record_key

    left join exchange_rates
        on checkouts.currency = exchange_rates.currency
        and cast(checkouts.created_at as date) >= exchange_rates.valid_from
        and cast(checkouts.created_at as date) < exchange_rates.valid_to

)

select * from carts
