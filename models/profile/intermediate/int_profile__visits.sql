-- A visit ends after minutes without an event (session_inactivity_minutes), at midnight where
-- session_ends_at_midnight says so, when another campaign brings the visitor back, and when another
-- person logs in on the same browser.
with

web_events as (

    select * from {{ ref('int_profile__web_events') }}

),

timed as (

    select
        record_key,
        visitor_key,
        user_id,
        occurred_at,
        event_type in ('page', 'screen') as is_page,
        coalesce(
            nullif(concat_ws('|', campaign_source, campaign_medium, campaign_name), ''),
            click_id
        ) as campaign_key,
        lag(occurred_at) over (
            partition by visitor_key
            order by occurred_at asc, record_key asc
        ) as previous_occurred_at

    from web_events

),

paused as (

    select
        *,
        {{ seconds_between('previous_occurred_at', 'occurred_at') }} as idle_seconds

    from timed

),

stretches as (

    select
        *,
        sum(
            case
                when previous_occurred_at is null then 1
                when idle_seconds >= 60 * {{ var('session_inactivity_minutes') }} then 1
                when
                    {{ var('session_ends_at_midnight') }}
                    and cast(previous_occurred_at as date) <> cast(occurred_at as date)
                    then 1
                else 0
            end
        ) over (
            partition by visitor_key
            order by occurred_at asc, record_key asc
            rows between unbounded preceding and current row
        ) as stretch

    from paused

),

counted as (

    select
        *,
        row_number() over (
            partition by visitor_key, stretch
            order by occurred_at asc, record_key asc
        ) as stretch_number,
        count(campaign_key) over (
            partition by visitor_key, stretch
            order by occurred_at asc, record_key asc
            rows between unbounded preceding and current row
        ) as campaign_number,
        coalesce(sum(case when is_page then 1 else 0 end) over (
            partition by visitor_key, stretch
            order by occurred_at asc, record_key asc
            rows between unbounded preceding and 1 preceding
        ), 0) as earlier_pages,
        campaign_key is not null as has_campaign,
        user_id is not null as has_user

    from stretches

),

compared as (

    select
        *,
        lag(campaign_key) over (
            partition by visitor_key, stretch, has_campaign
            order by occurred_at asc, record_key asc
        ) as previous_campaign_key,
        lag(user_id) over (
            partition by visitor_key, stretch, has_user
            order by occurred_at asc, record_key asc
        ) as previous_user_id

    from counted

),

visits as (

    select
        record_key,
        visitor_key,
        row_number() over (
            partition by visitor_key
            order by occurred_at asc, record_key asc
        ) as event_number,
        sum(
            case
                when stretch_number = 1 then 1
                when campaign_key is not null and campaign_number = 1 and earlier_pages > 0
                    then 1
                when campaign_key <> previous_campaign_key then 1
                when user_id <> previous_user_id then 1
                else 0
            end
        ) over (
            partition by visitor_key
            order by occurred_at asc, record_key asc
            rows between unbounded preceding and current row
        ) as visit_number

    from compared

)

select * from visits
