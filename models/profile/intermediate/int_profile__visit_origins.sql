-- A visit is its customer's; where two customers share a browser's visit it is nobody's. A click
-- that a network tells of names its campaign, also where the address did not.
with

first_of_visits as (

    select * from {{ ref('int_profile__first_of_visits') }}

),

clicks as (

    select * from {{ ref('int_profile__clicked_campaigns') }}

),

visit_origins as (

    select
        'web:' || first_of_visits.first_record_key as session_id,
        first_of_visits.first_record_key,
        case
            when first_of_visits.customer_count = 1 then first_of_visits.customer_id
        end as customer_id,
        first_of_visits.anonymous_id,
        first_of_visits.started_at,
        first_of_visits.ended_at,
        first_of_visits.entry_page,
        coalesce(first_of_visits.campaign, clicks.campaign) as campaign,
        first_of_visits.device,
        first_of_visits.event_count,
        first_of_visits.page_count,
        first_of_visits.utm_source,
        first_of_visits.utm_medium,
        first_of_visits.utm_term,
        first_of_visits.utm_content,
        first_of_visits.click_id,
        first_of_visits.referrer_host,
        clicks.network,
        coalesce(first_of_visits.utm_medium, '') || '|' || coalesce(first_of_visits.utm_source, '')
            as origin

    from first_of_visits

    left join clicks
        on first_of_visits.click_id = clicks.click_id

)

select * from visit_origins
