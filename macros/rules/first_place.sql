{# The lowest rank within a group at which a field has a value. #}
{% macro first_place(field, rank, group) -%}
min(case when {{ field }} is not null then {{ rank }} end) over (partition by {{ group }})
{%- endmacro %}
