{{ config(meta={'dagster': {'ref': {'name': 'customer_history'}}}) }}
{# What is known now by the history is what the golden record says, value by value. -#}
with

golden as (

    {% for group, fields in attribute_groups().items() %}
    select
        customer_id,
        '{{ group }}' as attribute_group,
        concat_ws(
            ', '
            {%- for field in fields -%}
            ,
            cast({{ field }} as {{ dbt.type_string() }})
            {%- endfor -%}
        ) as attribute_value,
        {{ group }}_source as record_source
    from {{ ref('customers') }}
    where {{ group }}_source is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

history as (

    select
        customer_id,
        attribute_group,
        attribute_value,
        record_source

    from {{ ref('customer_history') }}

    where is_current

)

select
    coalesce(golden.customer_id, history.customer_id) as customer_id,
    coalesce(golden.attribute_group, history.attribute_group) as attribute_group,
    golden.record_source as golden_source,
    history.record_source as history_source

from golden

full outer join history
    on golden.customer_id = history.customer_id
    and golden.attribute_group = history.attribute_group

where
    golden.attribute_value is null
    or history.attribute_value is null
    or golden.attribute_value <> history.attribute_value
    or golden.record_source <> history.record_source
