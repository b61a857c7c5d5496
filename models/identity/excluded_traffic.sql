-- Robots and our own people are nobody's customers: their browsers are no evidence, their visits no
-- touches. A value that both kinds of rules match is a robot's.
with

web_events as (

    select
        user_agent,
        ip_address

    from {{ ref('stg_web__events_versions') }}

),

traffic_rules as (

    select * from {{ ref('traffic_rules') }}

),

seen as (

    select distinct
        'user_agent' as field,
        user_agent as field_value

    from web_events

    where user_agent is not null

    union all

    select distinct
        'ip_address' as field,
        ip_address as field_value

    from web_events

    where ip_address is not null

),

excluded_traffic as (

    select
        seen.field,
        seen.field_value,
        min(traffic_rules.traffic) as traffic

    from seen

    inner join traffic_rules
        on seen.field = traffic_rules.field
        and {{ matches('seen.field_value', 'traffic_rules.pattern') }}

    group by 1, 2

)

select * from excluded_traffic
