{{ config(materialized='view') }}
-- What the last build that made all tables of the profile knew (macros/engines/incremental.sql).
select
    customer_id,
    fingerprint

from {{ build_state('customer_fingerprints') }}
