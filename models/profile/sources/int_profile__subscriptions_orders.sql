-- A period that was paid for is an order of its own; one whose payment failed is none. A renewal of
-- a subscription that no file has told of is an unidentified buyer's until it lands.
with

renewals as (

    select * from {{ ref('stg_subscriptions__renewals') }}

    where renewal_status in ('paid', 'refunded')

),

subscriptions_orders as (

    select
        'subscriptions:' || renewal_id as order_id,
        'subscriptions' as source,
        'subscriptions' as table_name,
        subscription_id as record_key,
        'subscription' as channel,
        cast(null as {{ dbt.type_string() }}) as store_id,
        renewed_at as ordered_at,
        renewal_amount as order_amount,
        case when renewal_status = 'refunded' then renewal_amount else 0 end as refunded_amount,
        cast(0 as decimal(18, 4)) as points_amount,
        tax_amount,
        cast(0 as decimal(18, 4)) as shipping_amount,
        currency,
        payment_method,
        false as is_cancelled,
        false as is_credit_note,
        renewal_amount > 0 as is_revenue,
        cast(null as boolean) as is_gift

    from renewals

)

select * from subscriptions_orders
