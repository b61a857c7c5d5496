with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

),

contact_points as (

    select
        customer_id,
        'email' as contact_point_type,
        email as contact_point,
        min(updated_at) as first_seen_at,
        max(updated_at) as last_seen_at

    from contact_records

    where email is not null

    group by 1, 2, 3

    union all

    select
        customer_id,
        'phone' as contact_point_type,
        phone as contact_point,
        min(updated_at) as first_seen_at,
        max(updated_at) as last_seen_at

    from contact_records

    where phone is not null

    group by 1, 2, 3

)

select * from contact_points
