{# Whether a time lies in one of `order_windows`: [end - length, end), counted back from the end of the
   build's day; a window without a length is all that was before it. #}
{% macro is_in_window(time, window) -%}
{%- if window.length -%}
{%- set last = window.get('ends_before', 0) -%}
{{ time }} >= {{ dbt.dateadd(window.unit, -(window.length + last), as_of_end()) | trim }}
and {{ time }} < {{ dbt.dateadd(window.unit, -last, as_of_end()) | trim if last else as_of_end() }}
{%- else -%}
{{ time }} < {{ as_of_end() }}
{%- endif -%}
{%- endmacro %}

{# Money by a count, halves of a hundredth of a cent up; null by none. In whole numbers, since engines
   divide and round decimals in ways of their own and a double lies just below many a half. #}
{% macro amount_per(amount, count) -%}
{%- set doubled = '(2 * cast(' ~ amount ~ ' * 10000 as bigint) + ' ~ count ~ ')' -%}
{%- set divisor = 'nullif(2 * ' ~ count ~ ', 0)' -%}
cast(
    cast(({{ doubled }} - mod({{ doubled }}, {{ divisor }})) / {{ divisor }} as bigint)
    * cast(0.0001 as decimal(5, 4)) as decimal(18, 4)
)
{%- endmacro %}

{# A value behind how often and how lately it was chosen: the least key is the one chosen most often;
   of equals the one chosen last, then the first in the alphabet. 21 signs before the value. #}
{% macro habit_key(count, seconds_ago, value) -%}
lpad(cast(999999999 - {{ count }} as {{ dbt.type_string() }}), 9, '0')
|| lpad(cast({{ seconds_ago }} as {{ dbt.type_string() }}), 12, '0')
|| {{ value }}
{%- endmacro %}

{% macro value_of_habit_key(key) %}substr({{ key }}, 22){% endmacro %}
