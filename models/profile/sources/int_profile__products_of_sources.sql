{# One line for each source that knows products: add a source here. #}
{%- set relations = [
    ref('int_profile__pim_products'),
    ref('int_profile__shopify_products'),
] -%}
{% for relation in relations %}
select * from {{ relation }}
{{ 'union all' if not loop.last }}
{% endfor %}
