{{ config(full_refresh=false, unique_key=['node_key', 'valid_from', 'customer_id']) }}
-- depends_on: {{ ref('identity_events') }}
select
    *,
    valid_to is null as is_current

from {{ ref('int_identity__map_next') }}
