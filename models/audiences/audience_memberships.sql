{{ config(full_refresh=false) }}
select
    *,
    exited_at is null as is_current

from {{ ref('int_audiences__memberships_next') }}
