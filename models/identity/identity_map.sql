{{ config(full_refresh=false) }}
-- depends_on: {{ ref('identity_events') }}
select
    *,
    valid_to is null as is_current

from {{ ref('int_identity__map_next') }}
