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
