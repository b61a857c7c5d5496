{%- set places = {
    'first': 'order_number = 1',
    'second': 'order_number = 2',
    'latest': 'recency_rank = 1',
} -%}
with

placed_orders as (

    select * from {{ ref('int_metrics__placed_orders') }}

),

customer_orders as (

    select
        customer_id,
        count(*) as order_count,
        cast(sum(item_count) as bigint) as item_count,
        cast(sum(reporting_amount) as decimal(18, 4)) as order_revenue_amount,
        {% for place, condition in places.items() %}
        max(case when {{ condition }} then ordered_at end) as {{ place }}_ordered_at,
        max(case when {{ condition }} then order_id end) as {{ place }}_order_id,
        max(case when {{ condition }} then reporting_amount end) as {{ place }}_order_amount,
        max(case when {{ condition }} then item_count end) as {{ place }}_order_item_count,
        {% endfor %}
        {% for window in var('order_windows') %}
        cast(
            sum(case when is_in_{{ window }} then 1 else 0 end) as bigint
        ) as {{ window }}_order_count,
        cast(
            coalesce(sum(case when is_in_{{ window }} then reporting_amount end), 0)
            as decimal(18, 4)
        ) as {{ window }}_order_amount,
        cast(
            sum(case when is_in_{{ window }} then item_count else 0 end) as bigint
        ) as {{ window }}_item_count,
        {% endfor %}
        max(largest_line_item_count) as largest_line_item_count,
        max(case when is_gift then 1 when not is_gift then 0 end) = 1 as has_gift_order

    from placed_orders

    group by 1

)

select * from customer_orders
