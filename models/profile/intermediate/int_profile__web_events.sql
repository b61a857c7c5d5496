-- Visitors' events alone, read from JSON once; a page call may tell the page in its properties. The
-- site itself refers nobody.
with

web_events as (

    select * from {{ ref('stg_web__events') }}

),

visitors_events as (

    select
        record_key,
        coalesce(anonymous_id, 'user:' || user_id, 'event:' || record_key) as visitor_key,
        anonymous_id,
        user_id,
        occurred_at,
        event_type,
        event_name,
        coalesce(page_path, property_path) as page_path,
        nullif(
            {{ host('coalesce(page_referrer, property_referrer)') }},
            {{ host('coalesce(page_url, property_url)') }}
        ) as referrer_host,
        {{ normalise_code('campaign_name') }} as campaign_name,
        {{ normalise_code('campaign_source') }} as campaign_source,
        {{ normalise_code('campaign_medium') }} as campaign_medium,
        campaign_term,
        campaign_content,
        click_id,
        case
            when
                device_id is not null
                or library_channel = 'mobile'
                or event_type = 'screen'
                then 'app'
            when {{ matches('user_agent', "'(?i)(tablet|ipad)'") }} then 'tablet'
            when {{ matches('user_agent', "'(?i)(mobile|android|iphone)'") }} then 'phone'
            when user_agent is not null then 'computer'
        end as device_class,
        product_id,
        cart_id

    from web_events

    where {{ is_visitor('web_events', ref('excluded_traffic')) }}

)

select * from visitors_events
