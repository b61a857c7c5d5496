{{ config(
    materialized='incremental' if target.type == 'duckdb' else 'table',
    incremental_strategy='landed_keys' if target.type == 'duckdb' else none,
    on_schema_change='fail',
) }}
{# The lines are in macros/rules/contacts.sql. On DuckDB only what new loads brought is read
   (macros/engines/incremental.sql): staging's views would work all rows out again. #}
{% for contact in contacts_of_sources() %}
select
    {{ contact_columns(contact) }},
    '{{ contact[3] }}' as staged_model,
    staged_rows.record_key as staged_key
from {{ staged_rows_to_take(contact[3]) }} as staged_rows
where {{ contact[7] }}
{{ 'union all' if not loop.last }}
{% endfor %}
