{%- set windows = var('order_windows') -%}
with

order_traits as (

    select * from {{ ref('int_metrics__order_traits') }}

),

habits as (

    select
        customer_id,
        trait,
        trait_value,
        {% for window in windows if window != 'lifetime' %}
        count(case when is_in_{{ window }} then order_id end) as {{ window }}_order_count,
        min(case when is_in_{{ window }} then seconds_ago end) as {{ window }}_seconds_ago,
        {% endfor %}
        count(*) as lifetime_order_count,
        min(seconds_ago) as lifetime_seconds_ago

    from order_traits

    group by 1, 2, 3

),

keyed as (

    select
        {% for window in windows %}
        case
            when {{ window }}_order_count > 0
                then {{ habit_key(
                    window ~ '_order_count', window ~ '_seconds_ago', 'trait_value'
                ) }}
        end as {{ window }}_key,
        {% endfor %}
        customer_id,
        trait

    from habits

),

least_keys as (

    select
        customer_id,
        {% for window in windows %}
        {% for trait in ['brand', 'channel', 'store'] %}
        min(case when trait = '{{ trait }}' then {{ window }}_key end) as {{ window }}_{{ trait }},
        {% endfor %}
        {% endfor %}
        min(case when trait = 'product' then lifetime_key end) as usual_product,
        min(case when trait = 'weekday' then lifetime_key end) as usual_weekday,
        min(case when trait = 'hour' then lifetime_key end) as usual_hour

    from keyed

    group by 1

),

usual_purchases as (

    select
        customer_id,
        {% for window in windows %}
        {% for trait in ['brand', 'channel', 'store'] %}
        {{ value_of_habit_key(window ~ '_' ~ trait) }}
            as {{ window }}_preferred_purchase_{{ trait }},
        {% endfor %}
        {% endfor %}
        {{ value_of_habit_key('usual_product') }} as usual_product,
        {{ value_of_habit_key('usual_weekday') }} as usual_weekday,
        {{ value_of_habit_key('usual_hour') }} as usual_hour

    from least_keys

)

select * from usual_purchases
