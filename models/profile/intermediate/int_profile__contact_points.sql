with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

),

contact_points as (

    select
        customer_id,
        'email' as contact_point_type,
        contact_email as contact_point,
        min(first_said_at) as first_seen_at,
        max(last_said_at) as last_seen_at

    from contact_records

    where contact_email is not null

    group by 1, 2, 3

    union all

    select
        customer_id,
        'phone' as contact_point_type,
        contact_phone as contact_point,
        min(first_said_at) as first_seen_at,
        max(last_said_at) as last_seen_at

    from contact_records

    where contact_phone is not null

    group by 1, 2, 3

)

select * from contact_points
