{{ config(group='identity') }}
-- Stops the run before any customer_id changes hands; `cdp run --allow-jitter` lets it pass.
select *

from {{ ref('int_identity__jitter') }}

where
    renumbered_count >= {{ var('identity_jitter_records') }}
    and renumbered_share >= {{ var('identity_jitter_stops') }}
    and not {{ var('allow_identity_jitter') }}
