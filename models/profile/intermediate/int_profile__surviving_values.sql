{{ config(materialized='incremental', incremental_strategy='changed_customers', on_schema_change='fail') }}
{%- set fields = attribute_fields() %}
-- depends_on: {{ ref('int_profile__changed_customers') }}
with

attribute_values as (

    select * from {{ ref('int_profile__attribute_values') }}

    where not is_blocked {{ of_changed_customers('and') }}

),

-- All that was said of a group that keeps the set of values.
sets as (

    select
        customer_id,
        attribute_group,
        {{ sorted_json_set('attribute_value') }} as value_set

    from attribute_values

    where strategy = 'set_of_values'

    group by 1, 2

),

surviving_values as (

    select
        winners.customer_id,
        winners.attribute_group,
        {% for field in fields %}
        {% if field in ('gender', 'language', 'preferences') %}
        case
            when sets.value_set is not null and winners.{{ field }} is not null then sets.value_set
            else winners.{{ field }}
        end as {{ field }},
        {% else %}
        winners.{{ field }},
        {% endif %}
        {% endfor %}
        winners.record_source,
        winners.record_key,
        winners.priority,
        winners.field_count,
        winners.last_said_at

    from attribute_values as winners

    left join sets
        on winners.customer_id = sets.customer_id
        and winners.attribute_group = sets.attribute_group

    where winners.survival_rank = 1

)

select * from surviving_values
