{# The rows of a raw table's current loads, each with its rank among those of the same key. DuckDB ranks
   the keys alone and joins the rows to them: to sort the rows themselves, JSON and all, costs three
   times as much and spills to disk. Spark sends the rows around once in any case.

   Where `loads` is a query of load ids (DuckDB), only rows of the keys that these loads brought; of a
   table without a key, the loads' own rows. #}
{% macro ranked_deliveries(raw, current_loads, partition, order, key=none, loads=none) %}
    {{- return(adapter.dispatch('ranked_deliveries', 'cdp')(raw, current_loads, partition, order, key, loads)) -}}
{% endmacro %}

{% macro default__ranked_deliveries(raw, current_loads, partition, order, key=none, loads=none) -%}
select
    raw_rows.*,
    row_number() over (partition by {{ partition }} order by {{ order }}) as delivery_rank
from {{ raw }} as raw_rows
inner join {{ current_loads }} as current_loads
    on raw_rows._load_id = current_loads.load_id
{%- endmacro %}

{% macro duckdb__ranked_deliveries(raw, current_loads, partition, order, key=none, loads=none) -%}
select
    raw_rows.*,
    ranks.delivery_rank
from {{ raw }} as raw_rows
inner join (
    select
        raw_rows._load_id,
        raw_rows._row,
        row_number() over (partition by {{ partition }} order by {{ order }}) as delivery_rank
    from {{ raw }} as raw_rows
    inner join {{ current_loads }} as current_loads
        on raw_rows._load_id = current_loads.load_id
    {% if loads and key -%}
    where {{ record_key_of(key, 'raw_rows') }} in (
        select {{ record_key_of(key, 'new_rows') }}
        from {{ raw }} as new_rows
        where new_rows._load_id in ({{ loads }})
    )
    {%- elif loads -%}
    where raw_rows._load_id in ({{ loads }})
    {%- endif %}
) as ranks
    on raw_rows._load_id = ranks._load_id
    and raw_rows._row = ranks._row
{%- endmacro %}
