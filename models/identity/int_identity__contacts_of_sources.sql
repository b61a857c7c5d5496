{# The lines are in macros/rules/contacts.sql. On DuckDB only what new loads brought is read
   (macros/engines/incremental.sql): staging's views would work all rows out again. #}
{%- set said = ['record_source', 'table_name', 'record_key', 'staged_key', 'updated_at'] -%}
{%- do said.extend(contact_fields().keys()) -%}
{%- set taken = taken_of_loads(this.identifier) %}
with

contacts as (

    {% for contact in contacts_of_sources() %}
    select
        {{ contact_columns(contact) | indent(4) }},
        '{{ contact[3] }}' as staged_model,
        staged_rows.record_key as staged_key
    from {{ staged_rows_to_take(contact[3], taken) }} as staged_rows
    where {{ contact[7] }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    *,
    {{ row_fingerprint(said) }} as fingerprint

from contacts
