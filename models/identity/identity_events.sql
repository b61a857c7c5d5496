{{ config(full_refresh=false, unique_key=['event_sequence']) }}
-- A red test of int_identity__jitter stops the run before any id is given away.
-- depends_on: {{ ref('int_identity__jitter') }}
select * from {{ ref('int_identity__events_next') }}
