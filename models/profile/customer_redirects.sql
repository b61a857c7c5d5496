select
    customer_id,
    current_customer_id,
    reason

from {{ ref('identity_redirects') }}
