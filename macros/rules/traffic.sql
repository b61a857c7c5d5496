{# Whether a web event is a visitor's: neither a robot's nor our own people's. #}
{% macro is_visitor(events, excluded_traffic) -%}
not exists (
    select 1
    from {{ excluded_traffic }} as excluded_agents
    where
        excluded_agents.field = 'user_agent'
        and excluded_agents.field_value = {{ events }}.user_agent
)
and not exists (
    select 1
    from {{ excluded_traffic }} as excluded_addresses
    where
        excluded_addresses.field = 'ip_address'
        and excluded_addresses.field_value = {{ events }}.ip_address
)
{%- endmacro %}
