{{ config(full_refresh=false, unique_key=['quarantine_key']) }}
select * from {{ ref('int_identity__quarantine_next') }}
