-- A refund is the touch of its order's buyer; a checkout that was never finished is one of its own.
with

refunds as (

    select * from {{ ref('stg_shopify__refunds') }}

),

orders as (

    select * from {{ ref('int_profile__shopify_orders') }}

),

checkouts as (

    select * from {{ ref('stg_shopify__abandoned_checkouts') }}

    where
        not is_deleted
        and completed_at is null

),

shopify_touches as (

    select
        'shopify' as source,
        orders.table_name,
        orders.record_key,
        'shopify.refund:' || refunds.record_key as interaction_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        refunds.refunded_at as occurred_at,
        orders.channel,
        'order_refunded' as source_activity,
        cast(null as {{ dbt.type_string() }}) as product_key,
        {{ json_object([['order_id', 'orders.order_id']]) }} as feature_json

    from refunds

    inner join orders
        on 'shopify:' || refunds.shopify_order_id = orders.order_id

    union all

    select
        'shopify' as source,
        'abandoned_checkout' as table_name,
        record_key,
        'shopify.abandoned_checkout:' || record_key as interaction_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        created_at as occurred_at,
        'web' as channel,
        'checkout_abandoned' as source_activity,
        cast(null as {{ dbt.type_string() }}) as product_key,
        {{ json_object([['cart_id', 'cart_id']]) }} as feature_json

    from checkouts

)

select * from shopify_touches
