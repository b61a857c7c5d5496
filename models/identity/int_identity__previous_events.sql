{{ config(materialized='view') }}
with

previous_events as (

    {{ previous_rows('identity', 'identity_events', event_columns()) }}

)

select * from previous_events
