with

web_events as (

    select * from {{ ref('int_profile__web_events') }}

),

web_touches as (

    select
        'web' as source,
        'events' as table_name,
        record_key,
        'web.events:' || record_key as interaction_id,
        anonymous_id,
        occurred_at,
        case when device_class = 'app' then 'app' else 'web' end as channel,
        case
            when event_type = 'track' then coalesce(event_name, 'track')
            else event_type
        end as source_activity,
        'shopify:' || product_id as product_key,
        {{ json_object([
            ['page_path', 'page_path'],
            ['product_id', 'product_id'],
            ['cart_id', 'cart_id'],
            ['campaign', 'campaign_name'],
        ]) }} as feature_json

    from web_events

)

select * from web_touches
