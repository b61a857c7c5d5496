{# One line for each source that sells: add a source here. #}
{%- set relations = [
    ref('int_profile__shopify_orders'),
    ref('int_profile__erp_orders'),
    ref('int_profile__pos_orders'),
    ref('int_profile__subscriptions_orders'),
] -%}
{% for relation in relations %}
select * from {{ relation }}
{{ 'union all' if not loop.last }}
{% endfor %}
