select customer_id

from {{ ref('customer_metrics') }}

where journey_stage is null
