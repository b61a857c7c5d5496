{# Each row of a staged table as a touch. `activity` is the source's own word, or an expression: the seed
   `activity_names` gives it the platform's name. `record_table` and `record_key` say which record
   tells whose touch it is, where that is not the row itself. #}
{% macro touches_of(
    source_name, table_name, relation, occurred_at, channel, activity,
    features=[], condition=none, record_table=none, record_key=none, anonymous_id=none
) -%}
{%- set pairs = [] -%}
{%- for feature in features -%}{%- do pairs.append([feature, feature]) -%}{%- endfor -%}
select
    '{{ source_name }}' as source,
    '{{ record_table or table_name }}' as table_name,
    {{ record_key or 'record_key' }} as record_key,
    '{{ source_name }}.{{ table_name }}:' || record_key as interaction_id,
    cast({{ anonymous_id or 'null' }} as {{ dbt.type_string() }}) as anonymous_id,
    {{ occurred_at }} as occurred_at,
    {{ channel }} as channel,
    {{ activity }} as source_activity,
    cast(null as {{ dbt.type_string() }}) as product_key,
    {{ json_object(pairs) }} as feature_json
from {{ relation }}
{% if condition -%}
where {{ condition }}
{%- endif %}
{%- endmacro %}


{# The channel of what a mail tool tells of, by its own word; it also repeats what other tools told it,
   such as orders, which are no messages. #}
{% macro message_channel(activity) -%}
case
    when {{ activity }} like '%SMS%' then 'sms'
    when {{ activity }} like '%Email%' or {{ activity }} like '%ubscribed%' then 'email'
    else 'mail_tool'
end
{%- endmacro %}
