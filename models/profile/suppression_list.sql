with

contact_permissions as (

    select * from {{ ref('contact_permissions') }}

),

-- A contact point may be two people's: it is on the list once.
suppression_list as (

    select
        contact_point_type,
        contact_point,
        channel,
        purpose,
        min(reason) as reason,
        max(captured_at) as captured_at,
        count(*) as customer_count

    from contact_permissions

    where reason in ('unsubscribed', 'bounced', 'blocked', 'invalid', 'suppressed')

    group by 1, 2, 3, 4

)

select * from suppression_list
