{# The build's day; the only clock the SQL knows. #}
{% macro as_of_date() %}cast('{{ var("as_of_date") }}' as date){% endmacro %}

{% macro as_of_timestamp() %}cast('{{ var("as_of_date") }}' as timestamp){% endmacro %}

{# The first moment that the build no longer speaks of: midnight after its day. #}
{% macro as_of_end() %}{{ dbt.dateadd('day', 1, as_of_timestamp()) | trim }}{% endmacro %}

{# Whole days from a time to the build's day; trimmed, since dbt's macro writes line breaks. #}
{% macro days_until_as_of_date(column) %}
    {{- dbt.datediff('cast(' ~ column ~ ' as date)', as_of_date(), 'day') | trim -}}
{% endmacro %}

{# A day after every other: the end of what has no end yet, so that ranges join as ranges. #}
{% macro end_of_time() %}cast('9999-12-31' as date){% endmacro %}

{# Monday 1 to Sunday 7, by the days since a Monday. #}
{% macro iso_weekday(time) -%}
mod({{ dbt.datediff("cast('1900-01-01' as date)", 'cast(' ~ time ~ ' as date)', 'day') | trim }}, 7) + 1
{%- endmacro %}
