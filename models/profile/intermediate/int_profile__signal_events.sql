{%- set taken = taken_of_loads(this.identifier) %}
with

klaviyo_events as (

    select * from {{ staged_rows_to_take('stg_klaviyo__events', taken) }}

    where not is_deleted

),

line_events as (

    select * from {{ staged_rows_to_take('stg_line__events', taken) }}

),

activities as (

    select distinct
        source,
        source_activity

    from {{ ref('contact_point_signals') }}

),

-- The record is the one that says whose it is.
events as (

    select
        'klaviyo' as source,
        'person' as table_name,
        klaviyo_person_id as record_key,
        event_type as source_activity,
        bounce_type as detail,
        cast(null as {{ dbt.type_string() }}) as line_user_id,
        klaviyo_event_id as event_key,
        occurred_at,
        landed_as_of,
        'stg_klaviyo__events' as staged_model,
        record_key as staged_key

    from klaviyo_events

    union all

    select
        'line' as source,
        'events' as table_name,
        record_key,
        event_type as source_activity,
        cast(null as {{ dbt.type_string() }}) as detail,
        line_user_id,
        line_event_id as event_key,
        occurred_at,
        landed_as_of,
        'stg_line__events' as staged_model,
        record_key as staged_key

    from line_events

)

select events.*

from events

inner join activities
    on events.source = activities.source
    and events.source_activity = activities.source_activity
