-- One block for each kind of touch: add a source here.
with

web_events as (

    select * from {{ ref('stg_web__events') }}

),

refunds as (

    select * from {{ ref('stg_shopify__refunds') }}

),

consent_events as (

    select * from {{ ref('stg_consent__consent_events') }}

),

orders as (

    select * from {{ ref('orders') }}

),

record_customers as (

    select * from {{ ref('record_customers') }}

),

touches as (

    select
        'web' as source,
        'events' as table_name,
        record_key,
        'web:' || record_key as interaction_id,
        anonymous_id,
        occurred_at,
        'web' as channel,
        case
            when
                event_type = 'track'
                then coalesce(nullif({{ snake_case('event_name') }}, '_'), 'web_track')
            when event_type in ('page', 'screen') then 'page_viewed'
            else 'web_' || event_type
        end as activity,
        cast(null as decimal(18, 4)) as revenue_amount,
        {{ json_object([
            ['page_path', 'page_path'],
            ['product_id', 'product_id'],
            ['cart_id', 'cart_id'],
            ['campaign', 'campaign_name'],
        ]) }} as feature_json

    from web_events

    union all

    select
        'consent' as source,
        'consent_events' as table_name,
        record_key,
        'consent:' || record_key as interaction_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        captured_at as occurred_at,
        channel,
        'consent_' || status as activity,
        cast(null as decimal(18, 4)) as revenue_amount,
        {{ json_object([
            ['purpose', 'purpose'],
            ['contact_point_type', 'contact_point_type'],
        ]) }} as feature_json

    from consent_events

),

source_interactions as (

    select
        touches.interaction_id,
        record_customers.customer_id,
        touches.anonymous_id,
        touches.occurred_at,
        touches.channel,
        touches.activity,
        touches.source,
        touches.revenue_amount,
        touches.feature_json

    from touches

    left join record_customers
        on touches.source = record_customers.source
        and touches.table_name = record_customers.table_name
        and touches.record_key = record_customers.record_key

    union all

    select
        'order:' || order_id as interaction_id,
        customer_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        ordered_at as occurred_at,
        channel,
        case when is_credit_note then 'order_credited' else 'order_placed' end as activity,
        source,
        reporting_amount as revenue_amount,
        {{ json_object([['order_id', 'order_id'], ['currency', 'currency']]) }} as feature_json

    from orders

    union all

    select
        'refund:' || refunds.record_key as interaction_id,
        orders.customer_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        refunds.refunded_at as occurred_at,
        orders.channel,
        'order_refunded' as activity,
        'shopify' as source,
        cast(null as decimal(18, 4)) as revenue_amount,
        {{ json_object([['order_id', 'orders.order_id']]) }} as feature_json

    from refunds

    inner join orders
        on 'shopify:' || refunds.shopify_order_id = orders.order_id

)

select * from source_interactions
