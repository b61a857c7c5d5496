{{ config(full_refresh=false) }}
select * from {{ ref('int_identity__quarantine_next') }}
