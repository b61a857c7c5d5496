with

klaviyo_events as (

    select * from {{ ref('stg_klaviyo__events') }}

    where not is_deleted

),

klaviyo_persons as (

    select * from {{ ref('stg_klaviyo__persons') }}

),

line_events as (

    select * from {{ ref('stg_line__events') }}

),

contact_point_signals as (

    select * from {{ ref('contact_point_signals') }}

),

-- The record is the one that says whose it is.
events as (

    select
        'klaviyo' as source,
        'person' as table_name,
        klaviyo_events.klaviyo_person_id as record_key,
        klaviyo_events.event_type as source_activity,
        klaviyo_events.bounce_type as detail,
        klaviyo_persons.email,
        klaviyo_persons.phone,
        cast(null as {{ dbt.type_string() }}) as line_user_id,
        klaviyo_events.klaviyo_event_id as event_key,
        klaviyo_events.occurred_at,
        klaviyo_events.landed_as_of

    from klaviyo_events

    inner join klaviyo_persons
        on klaviyo_events.klaviyo_person_id = klaviyo_persons.klaviyo_person_id

    union all

    select
        'line' as source,
        'events' as table_name,
        record_key,
        event_type as source_activity,
        cast(null as {{ dbt.type_string() }}) as detail,
        cast(null as {{ dbt.type_string() }}) as email,
        cast(null as {{ dbt.type_string() }}) as phone,
        line_user_id,
        line_event_id as event_key,
        occurred_at,
        landed_as_of

    from line_events

),

signals as (

    select
        events.source,
        events.table_name,
        events.record_key,
        contact_point_signals.contact_point_type,
        case contact_point_signals.contact_point_type
            when 'email' then events.email
            when 'phone' then events.phone
            when 'line_user_id' then events.line_user_id
        end as contact_point,
        contact_point_signals.channel,
        contact_point_signals.purpose,
        contact_point_signals.status,
        contact_point_signals.reachability,
        events.event_key,
        events.occurred_at,
        events.landed_as_of

    from events

    inner join contact_point_signals
        on events.source = contact_point_signals.source
        and events.source_activity = contact_point_signals.source_activity
        and (
            contact_point_signals.detail is null
            or {{ lower_case('events.detail') }} = contact_point_signals.detail
        )

)

select * from signals

where contact_point is not null
