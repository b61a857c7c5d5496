-- The previous rows were read by int_identity__jitter, whose tests come before this.
-- depends_on: {{ ref('int_identity__jitter') }}
select * from {{ ref('int_identity__record_customers') }}
