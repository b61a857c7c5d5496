{{ config(full_refresh=false, unique_key=['customer_id']) }}
-- Written last: a build that fails before it is run again under the same build number.
-- depends_on: {{ ref('identity_map') }}
-- depends_on: {{ ref('identity_quarantine') }}
-- depends_on: {{ ref('identity_run_metrics') }}
select
    {{ registry_columns() | map('first') | join(', ') }}

from {{ ref('int_identity__registry_next') }}
