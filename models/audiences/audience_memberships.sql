{{ config(full_refresh=false, unique_key=['audience', 'customer_id', 'entered_at']) }}
select
    *,
    exited_at is null as is_current

from {{ ref('int_audiences__memberships_next') }}
