{{ config(full_refresh=false, unique_key=['quarantine_key']) }}
-- depends_on: {{ ref('int_identity__jitter') }}
select * from {{ ref('int_identity__quarantine_next') }}
