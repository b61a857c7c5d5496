with

members as (

    {{ permitted_members('welcome_opt_in', 'email', 'marketing') }}

),

customers as (

    select * from {{ ref('customers') }}

),

payload as (

    select
        members.customer_id,
        members.contact_point_type,
        members.contact_point,
        members.is_permitted,
        members.withheld_reason,
        case when members.is_permitted then customers.first_name end as first_name,
        coalesce(customers.language_code, 'en') as language_code

    from members

    inner join customers
        on members.customer_id = customers.customer_id

)

select * from payload
