{# The lowest rank within a group at which a field has a value. #}
{% macro first_place(field, rank, group) -%}
min(case when {{ field }} is not null then {{ rank }} end) over (partition by {{ group }})
{%- endmacro %}

{# Of a group's rows the first that has a value, by their places: an aggregate, since a window for each
   field sorts all rows as many times. #}
{% macro first_stated(field, place) -%}
substr(
    min(case
        when {{ field }} is not null
            then lpad(cast({{ place }} as {{ dbt.type_string() }}), 9, '0') || {{ field }}
    end),
    10
)
{%- endmacro %}

{# A key behind the second it is of, so that the least is the earliest's; 19 signs before the key. #}
{% macro timed_key(time, key) -%}
coalesce(substr(cast({{ time }} as {{ dbt.type_string() }}), 1, 19), '0000-00-00 00:00:00') || {{ key }}
{%- endmacro %}
