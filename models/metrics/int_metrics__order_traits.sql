-- What was chosen with an order: its channel and store, when it was placed, what was in it. A brand
-- or product counts once an order, however many pieces there were of it.
{%- set traits = {
    'channel': 'channel',
    'store': 'store_id',
    'weekday': iso_weekday(local_time('ordered_at')),
    'hour': 'extract(hour from ' ~ local_time('ordered_at') ~ ')',
} %}
with

placed_orders as (

    select * from {{ ref('int_metrics__placed_orders') }}

),

order_lines as (

    select
        order_id,
        product_id

    from {{ ref('order_lines') }}

    where
        line_type = 'product'
        and quantity > coalesce(refunded_quantity, 0)

),

products as (

    select
        product_id,
        brand

    from {{ ref('products') }}

),

chosen as (

    {% for trait, expression in traits.items() %}
    select
        order_id,
        '{{ trait }}' as trait,
        cast({{ expression }} as {{ dbt.type_string() }}) as trait_value

    from placed_orders

    union all

    {% endfor %}
    select distinct
        order_id,
        'product' as trait,
        product_id as trait_value

    from order_lines

    union all

    select distinct
        order_lines.order_id,
        'brand' as trait,
        products.brand as trait_value

    from order_lines

    inner join products
        on order_lines.product_id = products.product_id

),

order_traits as (

    select
        placed_orders.customer_id,
        chosen.order_id,
        chosen.trait,
        chosen.trait_value,
        {% for window in var('order_windows') %}
        placed_orders.is_in_{{ window }},
        {% endfor %}
        placed_orders.seconds_ago

    from chosen

    inner join placed_orders
        on chosen.order_id = placed_orders.order_id

    where chosen.trait_value is not null

)

select * from order_traits
