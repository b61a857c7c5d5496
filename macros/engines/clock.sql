{# The wall clock, to tell how long work took. No answer may depend on it. #}
{% macro wall_clock() %}
    {{ return(modules.datetime.datetime.now()) }}
{% endmacro %}

{% macro seconds_since(started) %}
    {{ return((wall_clock() - started).total_seconds()) }}
{% endmacro %}

{# A time in UTC as clocks show it where the company is (`reporting_time_zone`). #}
{% macro local_time(time) -%}
{%- if var('reporting_time_zone') == 'UTC' -%}
{{ time }}
{%- else -%}
{{- adapter.dispatch('local_time', 'cdp')(time) -}}
{%- endif -%}
{%- endmacro %}

{% macro default__local_time(time) %}from_utc_timestamp({{ time }}, '{{ var("reporting_time_zone") }}'){% endmacro %}

{% macro duckdb__local_time(time) %}timezone('{{ var("reporting_time_zone") }}', timezone('UTC', {{ time }})){% endmacro %}
