{# One row with the thresholds of an audience as columns, from the seed. #}
{% macro audience_settings(audience, settings) -%}
select
    {% for setting in settings -%}
    max(case when setting = '{{ setting }}' then setting_value end) as {{ setting }}{{ ',' if not loop.last }}
    {% endfor %}
from {{ ref('audience_settings') }}
where audience = '{{ audience }}'
{%- endmacro %}
