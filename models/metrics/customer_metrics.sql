with

customers as (

    select * from {{ ref('customers') }}

),

customer_orders as (

    select * from {{ ref('int_metrics__customer_orders') }}

),

customer_order_attributes as (

    select
        customer_id,
        lifecycle_status

    from {{ ref('customer_order_attributes') }}

),

customer_rfm as (

    select * from {{ ref('customer_rfm') }}

),

contact_permissions as (

    select * from {{ ref('contact_permissions') }}

    where
        purpose = 'marketing'
        and is_permitted

),

journey_stages as (

    select * from {{ ref('journey_stages') }}

),

opt_ins as (

    select
        customer_id,
        min(captured_at) as opted_in_at,
        max(captured_at) as latest_opted_in_at

    from contact_permissions

    group by 1

),

measured as (

    select
        customers.customer_id,
        customers.country_code,
        customers.is_identified,
        customers.first_seen_at,
        customers.last_seen_at,
        opt_ins.customer_id is not null as is_opted_in,
        opt_ins.opted_in_at,
        opt_ins.latest_opted_in_at,
        coalesce(customer_orders.order_count, 0) as order_count,
        coalesce(customer_orders.item_count, 0) as item_count,
        coalesce(customer_orders.order_revenue_amount, 0) as order_revenue_amount,
        customer_orders.first_ordered_at,
        customer_orders.first_order_id,
        customer_orders.first_order_amount,
        customer_orders.second_ordered_at,
        customer_orders.second_order_id,
        customer_orders.second_order_amount,
        customer_orders.latest_ordered_at,
        customer_orders.latest_order_id,
        customer_orders.latest_order_amount,
        customer_orders.latest_order_item_count,
        {{ days_until_as_of_date('customer_orders.latest_ordered_at') }} as days_since_latest_order,
        {{ dbt.datediff(
            'cast(customer_orders.first_ordered_at as date)',
            'cast(customer_orders.second_ordered_at as date)',
            'day'
        ) }} as first_to_second_order_days,
        coalesce(customer_order_attributes.lifecycle_status, 'prospect') as lifecycle_status,
        customer_rfm.rfm_score,
        coalesce(customer_rfm.rfm_segment, 'prospects') as rfm_segment,
        customer_rfm.r_score,
        customer_rfm.f_score,
        customer_rfm.m_score,
        customer_rfm.monetary

    from customers

    left join customer_orders
        on customers.customer_id = customer_orders.customer_id

    left join customer_order_attributes
        on customers.customer_id = customer_order_attributes.customer_id

    left join customer_rfm
        on customers.customer_id = customer_rfm.customer_id

    left join opt_ins
        on customers.customer_id = opt_ins.customer_id

),

stages_that_fit as (

    select
        measured.customer_id,
        journey_stages.journey_stage,
        row_number() over (
            partition by measured.customer_id
            order by journey_stages.precedence asc
        ) as stage_rank

    from measured

    inner join journey_stages
        on measured.order_count >= journey_stages.min_orders
        and measured.order_count < coalesce(journey_stages.below_orders, 1000000000)
        and coalesce(measured.days_since_latest_order, 0)
        >= coalesce(journey_stages.min_days_since_order, 0)
        and coalesce(measured.days_since_latest_order, 0)
        < coalesce(journey_stages.below_days_since_order, 1000000000)
        and (measured.is_opted_in or coalesce(journey_stages.needs_opt_in, false) = false)

),

customer_metrics as (

    select
        measured.*,
        stages_that_fit.journey_stage

    from measured

    left join stages_that_fit
        on measured.customer_id = stages_that_fit.customer_id
        and stages_that_fit.stage_rank = 1

)

select * from customer_metrics
