with

redirects as (

    select * from {{ ref('identity_redirects') }}

)

select redirects.customer_id

from redirects

left join redirects as targets
    on redirects.current_customer_id = targets.customer_id

where
    (redirects.reason in ('active', 'merged') and coalesce(targets.reason, 'none') <> 'active')
    or (redirects.reason = 'retired' and redirects.current_customer_id is not null)
