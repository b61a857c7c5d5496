{# An event's name as an activity: Product Viewed is product_viewed. #}
{% macro snake_case(text) -%}
lower({{ replace_all('trim(' ~ text ~ ')', '[^A-Za-z0-9]+', '_') }})
{%- endmacro %}
