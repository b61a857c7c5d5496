{# One line for each source that tells prices by day: add a source here. #}
{%- set relations = [
    ref('int_profile__pim_prices'),
    ref('int_profile__shopify_prices'),
] -%}
{% for relation in relations %}
select * from {{ relation }}
{{ 'union all' if not loop.last }}
{% endfor %}
