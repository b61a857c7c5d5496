-- A renewal is one line: the period of what the subscription delivers.
with

renewals as (

    select * from {{ ref('stg_subscriptions__renewals') }}

    where renewal_status in ('paid', 'refunded')

),

subscriptions as (

    select * from {{ ref('stg_subscriptions__subscriptions') }}

),

subscriptions_order_lines as (

    select
        'subscriptions:' || renewals.renewal_id as order_line_id,
        'subscriptions:' || renewals.renewal_id as order_id,
        'subscriptions' as source,
        subscriptions.sku as source_product_id,
        subscriptions.sku,
        subscriptions.plan_name as product_name,
        'product' as line_type,
        1 as quantity,
        renewals.renewal_amount as unit_price,
        renewals.renewal_amount as line_amount,
        case when renewals.renewal_status = 'refunded' then 1 else 0 end as refunded_quantity,
        case
            when renewals.renewal_status = 'refunded' then renewals.renewal_amount else 0
        end as refunded_amount

    from renewals

    left join subscriptions
        on renewals.subscription_id = subscriptions.record_key

)

select * from subscriptions_order_lines
