{# An event's name as an activity: Product Viewed is product_viewed. #}
{% macro snake_case(text) -%}
{{ lower_case(replace_all(trimmed(text), '[^\\p{L}\\p{N}]+', '_')) }}
{%- endmacro %}
