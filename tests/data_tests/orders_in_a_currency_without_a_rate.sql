{{ config(severity='warn') }}
-- Their reporting amount is null and no total counts them: land the missing rates.
select
    order_id,
    currency,
    ordered_at

from {{ ref('orders') }}

where reporting_amount is null
