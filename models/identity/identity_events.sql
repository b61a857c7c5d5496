{{ config(full_refresh=false) }}
select * from {{ ref('int_identity__events_next') }}
