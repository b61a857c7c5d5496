{{ config(materialized='view') }}
with

signal_events as (

    select * from {{ ref('int_profile__signal_events') }}

),

klaviyo_addresses as (

    select * from {{ ref('int_profile__klaviyo_addresses') }}

),

contact_point_signals as (

    select * from {{ ref('contact_point_signals') }}

),

signals as (

    select
        signal_events.source,
        signal_events.table_name,
        signal_events.record_key,
        contact_point_signals.contact_point_type,
        case contact_point_signals.contact_point_type
            when 'email' then klaviyo_addresses.email
            when 'phone' then klaviyo_addresses.phone
            when 'line_user_id' then signal_events.line_user_id
        end as contact_point,
        contact_point_signals.channel,
        contact_point_signals.purpose,
        contact_point_signals.status,
        contact_point_signals.reachability,
        signal_events.event_key,
        signal_events.occurred_at,
        signal_events.landed_as_of

    from signal_events

    inner join contact_point_signals
        on signal_events.source = contact_point_signals.source
        and signal_events.source_activity = contact_point_signals.source_activity
        and (
            contact_point_signals.detail is null
            or {{ lower_case('signal_events.detail') }} = contact_point_signals.detail
        )

    left join klaviyo_addresses
        on signal_events.source = klaviyo_addresses.source
        and signal_events.record_key = klaviyo_addresses.klaviyo_person_id

)

select * from signals

where contact_point is not null
