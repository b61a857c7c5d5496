{{ config(meta={'dagster': {'ref': {'name': 'order_attribution'}}}) }}
with

orders as (

    select * from {{ ref('orders') }}

    where
        is_revenue
        and reporting_amount is not null

),

attributed as (

    select
        order_id,
        attribution_model,
        sum(attributed_amount) as attributed_amount

    from {{ ref('order_attribution') }}

    group by 1, 2

),

attribution_models as (

    select * from {{ ref('attribution_models') }}

)

select
    orders.order_id,
    attribution_models.attribution_model,
    orders.reporting_amount,
    attributed.attributed_amount

from orders

cross join attribution_models

left join attributed
    on orders.order_id = attributed.order_id
    and attribution_models.attribution_model = attributed.attribution_model

where
    attributed.attributed_amount is null
    or attributed.attributed_amount <> orders.reporting_amount
