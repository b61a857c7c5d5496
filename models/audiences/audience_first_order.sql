with

customer_metrics as (

    select * from {{ ref('customer_metrics') }}

),

audience as (

    select customer_id

    from customer_metrics

    where journey_stage = 'first_order'

)

select * from audience
