{{ config(full_refresh=false, unique_key=['event_sequence']) }}
select * from {{ ref('int_identity__events_next') }}
