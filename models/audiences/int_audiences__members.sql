{# One line for each audience: add yours here. #}
{%- set members = {
    'welcome_opt_in': ref('audience_welcome_opt_in'),
    'first_order': ref('audience_first_order'),
    'second_to_fourth_order': ref('audience_second_to_fourth_order'),
    'lapsing_high_value': ref('audience_lapsing_high_value'),
    'cart_abandoned': ref('audience_cart_abandoned'),
} -%}
with

audiences as (

    select * from {{ ref('audiences') }}

),

members as (

    {% for audience, relation in members.items() %}
    select
        '{{ audience }}' as audience,
        customer_id
    from {{ relation }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

members_of_audiences as (

    select
        members.audience,
        members.customer_id,
        audiences.rule_version

    from members

    inner join audiences
        on members.audience = audiences.audience

)

select * from members_of_audiences
