{# An event's name as an activity: Product Viewed is product_viewed. #}
{% macro snake_case(text) -%}
lower({{ replace_all('trim(' ~ text ~ ')', '[^\\p{L}\\p{N}]+', '_') }})
{%- endmacro %}
