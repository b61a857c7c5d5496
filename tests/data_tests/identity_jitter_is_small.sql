{{ config(severity='warn', group='identity') }}
select *

from {{ ref('int_identity__jitter') }}

where
    renumbered_count >= {{ var('identity_jitter_records') }}
    and renumbered_share >= {{ var('identity_jitter_warns') }}
