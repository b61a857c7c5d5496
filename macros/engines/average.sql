{# A mean as a double on every engine; of decimals they would differ. #}
{% macro average(expression) %}avg(cast({{ expression }} as double)){% endmacro %}
