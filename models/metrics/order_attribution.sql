-- Shares are decimals, so that they add up the same everywhere; each is cut to a hundredth of a
-- cent and what is left goes to the last touch, so an order's amounts add up to its own. An order
-- that no touch led to is unattributed.
with

touchpoints as (

    select * from {{ ref('int_metrics__touchpoints') }}

),

attribution_models as (

    select * from {{ ref('attribution_models') }}

),

orders as (

    select * from {{ ref('orders') }}

    where
        is_revenue
        and reporting_amount is not null

),

weighed as (

    select
        touchpoints.*,
        attribution_models.attribution_model,
        case when touchpoints.touch_number = 1 then attribution_models.first_share else 0 end
        + case
            when touchpoints.touch_number = touchpoints.touch_count
                then attribution_models.last_share
            else 0
        end
        + case
            when attribution_models.even_share = 0 then 0
            when attribution_models.half_life_days is not null
                then cast(
                    power(
                        cast(0.5 as double),
                        cast(touchpoints.seconds_before as double)
                        / (86400 * cast(attribution_models.half_life_days as double))
                    ) as decimal(9, 6)
                )
            when attribution_models.first_share = 0 and attribution_models.last_share = 0
                then cast(1 as decimal(9, 6))
            when
                touchpoints.touch_number > 1
                and touchpoints.touch_number < touchpoints.touch_count
                then cast(
                    cast(attribution_models.even_share as double) / (touchpoints.touch_count - 2)
                    as decimal(9, 6)
                )
            else 0
        end as weight

    from touchpoints

    cross join attribution_models

),

shared as (

    select
        *,
        case
            when touch_number = touch_count then cast(0 as decimal(18, 4))
            else cast(
                cast(floor(
                    cast(reporting_amount as double) * 10000 * cast(weight as double)
                    / cast(nullif(sum(weight) over (
                        partition by order_id, attribution_model
                    ), 0) as double)
                ) as bigint) * cast(0.0001 as decimal(5, 4)) as decimal(18, 4)
            )
        end as rounded_amount

    from weighed

),

attributed as (

    select
        order_id,
        attribution_model,
        session_id,
        customer_id,
        ordered_at,
        touched_at,
        channel_group,
        campaign,
        cast(touch_number as bigint) as touch_number,
        cast(touch_count as bigint) as touch_count,
        cast(case
            when touch_number = touch_count
                then reporting_amount - sum(coalesce(rounded_amount, 0)) over (
                    partition by order_id, attribution_model
                )
            else coalesce(rounded_amount, 0)
        end as decimal(18, 4)) as attributed_amount

    from shared

    union all

    select
        orders.order_id,
        attribution_models.attribution_model,
        cast(null as {{ dbt.type_string() }}) as session_id,
        orders.customer_id,
        orders.ordered_at,
        cast(null as timestamp) as touched_at,
        'unattributed' as channel_group,
        cast(null as {{ dbt.type_string() }}) as campaign,
        cast(0 as bigint) as touch_number,
        cast(0 as bigint) as touch_count,
        orders.reporting_amount as attributed_amount

    from orders

    cross join attribution_models

    left join touchpoints
        on orders.order_id = touchpoints.order_id
        and touchpoints.touch_number = 1

    where touchpoints.order_id is null

)

select * from attributed
