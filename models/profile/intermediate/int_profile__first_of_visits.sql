-- The first of each kind that a visit tells: entry page, referrer, campaign, click, device.
{%- set firsts = {
    'record_key': 'first_record_key', 'page_path': 'entry_page', 'referrer_host': 'referrer_host',
    'campaign_name': 'campaign', 'campaign_source': 'utm_source',
    'campaign_medium': 'utm_medium', 'campaign_term': 'utm_term',
    'campaign_content': 'utm_content', 'click_id': 'click_id', 'device_class': 'device',
} %}
with

visits as (

    select * from {{ ref('int_profile__visits') }}

),

web_events as (

    select * from {{ ref('int_profile__web_events') }}

),

record_customers as (

    select
        record_key,
        customer_id

    from {{ ref('record_customers') }}

    where
        source = 'web'
        and table_name = 'events'

),

numbered as (

    select
        web_events.*,
        visits.visit_number,
        visits.event_number,
        record_customers.customer_id

    from web_events

    inner join visits
        on web_events.record_key = visits.record_key

    left join record_customers
        on web_events.record_key = record_customers.record_key

),

first_of_visits as (

    select
        visitor_key,
        visit_number,
        max(anonymous_id) as anonymous_id,
        min(customer_id) as customer_id,
        count(distinct customer_id) as customer_count,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        {% for field, name in firsts.items() %}
        {{ first_stated(field, 'event_number') }} as {{ name }},
        {% endfor %}
        count(*) as event_count,
        sum(case when event_type in ('page', 'screen') then 1 else 0 end) as page_count

    from numbered

    group by 1, 2

)

select * from first_of_visits
