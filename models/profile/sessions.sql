with

visit_origins as (

    select * from {{ ref('int_profile__visit_origins') }}

),

visit_channels as (

    select * from {{ ref('int_profile__visit_channels') }}

),

sessions as (

    select
        visit_origins.session_id,
        visit_origins.customer_id,
        visit_origins.anonymous_id,
        visit_origins.started_at,
        visit_origins.ended_at,
        visit_origins.entry_page,
        visit_origins.campaign,
        visit_channels.channel_group,
        visit_origins.device,
        cast(visit_origins.event_count as bigint) as event_count,
        cast(visit_origins.page_count as bigint) as page_count,
        visit_origins.utm_source,
        visit_origins.utm_medium,
        visit_origins.utm_term,
        visit_origins.utm_content,
        visit_origins.click_id,
        visit_origins.referrer_host

    from visit_origins

    inner join visit_channels
        on visit_origins.session_id = visit_channels.session_id

)

select * from sessions
