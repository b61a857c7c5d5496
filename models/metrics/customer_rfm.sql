select * from {{ ref('customer_rfm_history') }}

where as_of_date = {{ as_of_date() }}
