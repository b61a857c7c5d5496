{# The wall clock, to tell how long work took. No answer may depend on it. #}
{% macro wall_clock() %}
    {{ return(modules.datetime.datetime.now()) }}
{% endmacro %}

{% macro seconds_since(started) %}
    {{ return((wall_clock() - started).total_seconds()) }}
{% endmacro %}
