{{ config(full_refresh=false, unique_key=['build_number']) }}
select * from {{ ref('int_identity__run_metrics_next') }}
