-- The first of each kind that a visit tells: entry page, referrer, campaign, click, device.
{%- set firsts = {
    'page_path': 'entry_page', 'page_referrer': 'referrer', 'campaign_name': 'campaign',
    'campaign_source': 'utm_source', 'campaign_medium': 'utm_medium',
    'campaign_term': 'utm_term', 'campaign_content': 'utm_content', 'click_id': 'click_id',
    'device_class': 'device',
} %}
with

visits as (

    select * from {{ ref('int_profile__visits') }}

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
        visits.*,
        record_customers.customer_id,
        row_number() over (
            partition by visits.visitor_key, visits.visit_number
            order by visits.occurred_at asc, visits.record_key asc
        ) as place

    from visits

    left join record_customers
        on visits.record_key = record_customers.record_key

),

places as (

    select
        {% for field in firsts %}
        {{ first_place(field, 'place', 'visitor_key, visit_number') }} as {{ field }}_place,
        {% endfor %}
        *

    from numbered

),

first_of_visits as (

    select
        visitor_key,
        visit_number,
        max(case when place = 1 then record_key end) as first_record_key,
        max(anonymous_id) as anonymous_id,
        min(customer_id) as customer_id,
        count(distinct customer_id) as customer_count,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        {% for field, name in firsts.items() %}
        max(case when place = {{ field }}_place then {{ field }} end) as {{ name }},
        {% endfor %}
        count(*) as event_count,
        sum(case when event_type in ('page', 'screen') then 1 else 0 end) as page_count

    from places

    group by 1, 2

)

select * from first_of_visits
