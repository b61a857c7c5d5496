{# One line for each source that sells: add a source here. #}
{%- set relations = [
    ref('int_profile__shopify_order_lines'),
    ref('int_profile__erp_order_lines'),
    ref('int_profile__pos_order_lines'),
    ref('int_profile__subscriptions_order_lines'),
] -%}
{% for relation in relations %}
select * from {{ relation }}
{{ 'union all' if not loop.last }}
{% endfor %}
