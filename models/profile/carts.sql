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

carts as (

    select
        'shopify:' || checkouts.shopify_checkout_id as cart_id,
        record_customers.customer_id,
        'shopify' as source,
        checkouts.created_at as started_at,
        checkouts.completed_at,
        cast(checkouts.cart_amount as decimal(18, 4)) as cart_amount,
        checkouts.currency

    from checkouts

    left join record_customers
        on checkouts.record_key = record_customers.record_key

)

select * from carts
