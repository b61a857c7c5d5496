with

members as (

    {{ permitted_members('lapsing_high_value', 'email', 'marketing') }}

),

customers as (

    select * from {{ ref('customers') }}

),

customer_metrics as (

    select * from {{ ref('customer_metrics') }}

),

payload as (

    select
        members.customer_id,
        members.contact_point_type,
        members.contact_point,
        members.is_permitted,
        members.withheld_reason,
        case when members.is_permitted then customers.first_name end as first_name,
        customers.country_code,
        customer_metrics.rfm_segment

    from members

    inner join customers
        on members.customer_id = customers.customer_id

    inner join customer_metrics
        on members.customer_id = customer_metrics.customer_id

)

select * from payload
