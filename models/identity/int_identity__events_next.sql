with

new_events as (

    select * from {{ ref('int_identity__new_events') }}

),

registry_next as (

    select * from {{ ref('int_identity__registry_next') }}

),

previous_events as (

    select * from {{ ref('int_identity__previous_events') }}

),

build as (

    select coalesce(max(build_number), 1) as build_number

    from registry_next

),

-- A build that failed after writing its events is run again under the same number.
kept_events as (

    select previous_events.*

    from previous_events

    cross join build

    where previous_events.build_number < build.build_number

),

last_sequence as (

    select coalesce(max(event_sequence), 0) as event_sequence

    from kept_events

),

events_next as (

    select * from kept_events

    union all

    select
        new_events.event_type,
        new_events.customer_id,
        new_events.other_customer_id,
        new_events.node_count,
        new_events.recorded_at,
        last_sequence.event_sequence + new_events.event_sequence as event_sequence,
        new_events.build_number,
        new_events.run_id

    from new_events

    cross join last_sequence

)

select * from events_next
