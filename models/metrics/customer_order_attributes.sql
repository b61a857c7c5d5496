-- Each window is [end - length, end), where end is midnight after the build's day: an order of that
-- day is in all of them but last year's, one of exactly the length ago is in none.
with

customer_orders as (

    select
        *,
        {{ days_until_as_of_date('first_ordered_at') }} as days_since_first_order,
        {{ days_until_as_of_date('latest_ordered_at') }} as days_since_latest_order,
        {{ dbt.datediff(
            'cast(first_ordered_at as date)', 'cast(second_ordered_at as date)', 'day'
        ) }} as first_to_second_order_days,
        {{ dbt.datediff(
            'cast(first_ordered_at as date)', 'cast(latest_ordered_at as date)', 'day'
        ) }} as first_to_latest_order_days

    from {{ ref('int_metrics__customer_orders') }}

),

usual_purchases as (

    select * from {{ ref('int_metrics__usual_purchases') }}

),

account_flags as (

    select * from {{ ref('int_metrics__account_flags') }}

),

open_baskets as (

    select * from {{ ref('int_metrics__open_baskets') }}

),

contact_permissions as (

    select * from {{ ref('contact_permissions') }}

    where
        purpose = 'marketing'
        and is_permitted

),

lifecycle_statuses as (

    select * from {{ ref('lifecycle_statuses') }}

),

reachable as (

    select
        customer_id,
        max(case when channel = 'email' then 1 else 0 end) = 1 as is_reachable_by_email,
        max(case when channel = 'sms' then 1 else 0 end) = 1 as is_reachable_by_sms,
        max(case when channel = 'voice' then 1 else 0 end) = 1 as is_reachable_by_voice,
        max(case when channel = 'ads' then 1 else 0 end) = 1 as is_reachable_by_ads,
        max(case when channel = 'line' then 1 else 0 end) = 1 as is_reachable_by_line,
        max(case when channel = 'push' then 1 else 0 end) = 1 as is_reachable_by_push,
        max(case when channel = 'post' then 1 else 0 end) = 1 as is_reachable_by_post

    from contact_permissions

    group by 1

),

customer_order_attributes as (

    select
        customer_orders.customer_id,
        {% for place in ['first', 'second', 'latest'] %}
        customer_orders.{{ place }}_ordered_at as {{ place }}_order_datetime,
        customer_orders.{{ place }}_order_id,
        customer_orders.{{ place }}_order_amount as {{ place }}_order_revenue,
        customer_orders.{{ place }}_order_item_count as {{ place }}_order_total_items,
        {% endfor %}
        customer_orders.days_since_latest_order,
        customer_orders.first_to_second_order_days,
        customer_orders.first_to_latest_order_days,
        coalesce(
            customer_orders.first_to_second_order_days <= {{ var('early_repeat_days') }}, false
        ) as early_repeat_purchaser,
        coalesce(
            customer_orders.first_to_second_order_days <= {{ var('first_order_retained_days') }},
            false
        ) as first_order_is_retained,
        {% for window in var('order_windows') %}
        {% set count = 'customer_orders.' ~ window ~ '_order_count' %}
        {% set amount = 'customer_orders.' ~ window ~ '_order_amount' %}
        {% set items = 'customer_orders.' ~ window ~ '_item_count' %}
        {{ count }} as {{ window }}_order_frequency,
        {{ amount }} as {{ window }}_order_revenue,
        {{ amount_per(amount, count) }} as {{ window }}_average_order_value,
        {{ items }} as {{ window }}_total_items,
        {{ amount_per(amount, items) }} as {{ window }}_average_item_price,
        {% for trait in ['brand', 'channel', 'store'] %}
        usual_purchases.{{ window }}_preferred_purchase_{{ trait }},
        {% endfor %}
        {% endfor %}
        lifecycle_statuses.lifecycle_status,
        usual_purchases.usual_product as usual_product_id,
        usual_purchases.lifetime_preferred_purchase_store as usual_store_id,
        cast(usual_purchases.usual_weekday as bigint) as usual_weekday,
        cast(usual_purchases.usual_hour as bigint) as usual_hour,
        account_flags.is_employee,
        account_flags.is_reseller,
        account_flags.is_test_account,
        account_flags.is_outlier,
        account_flags.is_gift_giver,
        open_baskets.started_at as latest_open_basket_datetime,
        open_baskets.reporting_amount as latest_open_basket_value,
        {% for channel in ['email', 'sms', 'voice', 'ads', 'line', 'push', 'post'] %}
        coalesce(reachable.is_reachable_by_{{ channel }}, false) as is_reachable_by_{{ channel }},
        {% endfor %}
        reachable.customer_id is not null as is_reachable

    from customer_orders

    left join usual_purchases
        on customer_orders.customer_id = usual_purchases.customer_id

    left join account_flags
        on customer_orders.customer_id = account_flags.customer_id

    left join open_baskets
        on customer_orders.customer_id = open_baskets.customer_id

    left join reachable
        on customer_orders.customer_id = reachable.customer_id

    left join lifecycle_statuses
        on customer_orders.days_since_first_order
        >= lifecycle_statuses.min_days_since_first_order
        and customer_orders.days_since_first_order
        < coalesce(lifecycle_statuses.below_days_since_first_order, 1000000000)
        and customer_orders.days_since_latest_order
        >= lifecycle_statuses.min_days_since_latest_order
        and customer_orders.days_since_latest_order
        < coalesce(lifecycle_statuses.below_days_since_latest_order, 1000000000)

)

select * from customer_order_attributes
