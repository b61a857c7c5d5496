{{ config(meta={'dagster': {'ref': {'name': 'customer_metrics'}}}) }}
select coalesce(customers.customer_id, customer_metrics.customer_id) as customer_id

from {{ ref('customers') }} as customers

full outer join {{ ref('customer_metrics') }} as customer_metrics
    on customers.customer_id = customer_metrics.customer_id

where
    customers.customer_id is null
    or customer_metrics.customer_id is null
