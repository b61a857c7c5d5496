{# Score 1 (lowest) to 5 of a rank among n: least(5, 1 + floor(5 * percent_rank)), with the
   division last, so that no rounding moves a boundary. #}
{% macro quintile(rank, row_count) -%}
cast(least(5, 1 + floor(5 * ({{ rank }} - 1) / greatest({{ row_count }} - 1, 1))) as bigint)
{%- endmacro %}
