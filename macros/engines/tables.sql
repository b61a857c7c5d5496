{# How a table takes its next state.

   DuckDB replaces a table within a transaction, which its adapter does. On Spark it depends on
   what the format can do (`+file_format`, CDP_SPARK_FORMAT):

   - a history table (one with a `unique_key`) in Delta or Iceberg is merged: rows that differ
     are rewritten, rows that are gone are deleted, the rest of its files stay;
   - any other table in Delta or Iceberg is replaced by one statement;
   - Parquet has neither: the next state is written beside the table and swapped in. A build
     that ends between the two leaves the next state whole; `finish_swaps` puts it in place. #}

{# `existing_format` is none before a table's first build. A table in another format than is asked
   for, as one that `cdp move` brought, is swapped. #}
{% macro table_strategy(file_format, unique_key, existing_format) %}
    {% if file_format not in ('delta', 'iceberg', 'parquet') %}
        {{ exceptions.raise_compiler_error(
            "CDP_SPARK_FORMAT is " ~ file_format ~ "; choose delta, iceberg or parquet."
        ) }}
    {% endif %}
    {% if file_format == 'parquet' or existing_format not in (none, file_format) %}
        {{ return('swap') }}
    {% endif %}
    {{ return('merge' if unique_key and existing_format else 'replace') }}
{% endmacro %}

{% macro format_of(existing) %}
    {% if existing is none %}{{ return(none) }}{% endif %}
    {{ return('delta' if existing.is_delta else 'iceberg' if existing.is_iceberg else 'parquet') }}
{% endmacro %}


{# Makes the target equal to the query by rewriting what differs. #}
{% macro merge_statement(target_relation, query, unique_key, columns) -%}
merge into {{ target_relation }} as target
using (
{{ query }}
) as source
on {% for column in unique_key %}{{ 'and ' if not loop.first }}target.{{ column }} <=> source.{{ column }} {% endfor %}
when matched and not ({% for column in columns %}{{ 'and ' if not loop.first }}target.{{ column }} <=> source.{{ column }} {% endfor %}) then update set *
when not matched then insert *
when not matched by source then delete
{%- endmacro %}


{% macro next_relation(relation) %}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__next'}, type='table')) }}
{% endmacro %}


{% materialization table, adapter='spark', supported_languages=['sql'] %}
    {{ return({'relations': [write_spark_table(compiled_code)]}) }}
{% endmaterialization %}

{# Rows of customers whom nothing new is known of are taken over from the table as it is. #}
{% materialization incremental, adapter='spark', supported_languages=['sql'] %}
    {% if config.get('incremental_strategy') != 'changed_customers' %}
        {{ exceptions.raise_compiler_error("On Spark a model is incremental by changed_customers alone (macros/engines/incremental.sql).") }}
    {% endif %}
    {% set existing = load_cached_relation(this) %}
    {% set query = compiled_code %}
    {% if existing is not none and not should_full_refresh() %}
        {% set columns = adapter.get_columns_in_relation(existing) | map(attribute='quoted') | join(', ') %}
        {% set query %}
select {{ columns }} from {{ existing }}
where customer_id not in (select customer_id from {{ history_relation('profile', 'int_profile__changed_customers') }})
union all
select {{ columns }} from (
{{ compiled_code }}
) as changed_rows
        {% endset %}
    {% endif %}
    {{ return({'relations': [write_spark_table(query)]}) }}
{% endmaterialization %}

{% macro write_spark_table(query) %}
    {% set target_relation = this.incorporate(type='table') %}
    {% set existing = load_cached_relation(this) %}
    {% set unique_key = config.get('unique_key') %}
    {% set strategy = table_strategy(config.get('file_format'), unique_key, format_of(existing)) %}

    {{ run_hooks(pre_hooks) }}

    {% if strategy == 'merge' %}
        {% set columns = get_columns_in_query(query) %}
        {# A model that gained or lost a column is replaced once, with all its rows. #}
        {% set strategy = 'merge' if columns == adapter.get_columns_in_relation(existing) | map(attribute='name') | list else 'replace' %}
    {% endif %}
    {% if strategy == 'merge' %}
        {% call statement('main') %}{{ merge_statement(target_relation, query, unique_key, columns) }}{% endcall %}
    {% elif strategy == 'replace' %}
        {% call statement('main') %}{{ create_table_as(False, target_relation, query) }}{% endcall %}
    {% else %}
        {% set next = next_relation(target_relation) %}
        {% if load_cached_relation(next) %}{% do adapter.drop_relation(next) %}{% endif %}
        {% call statement('main') %}{{ create_table_as(False, next, query) }}{% endcall %}
        {% do swap_in(next, existing, target_relation) %}
    {% endif %}

    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks) }}
    {{ return(target_relation) }}
{% endmacro %}


{% macro swap_in(next, existing, target_relation) %}
    {% if existing is not none %}{% do adapter.drop_relation(existing) %}{% endif %}
    {% do adapter.rename_relation(next, target_relation) %}
{% endmacro %}


{# A history table whose swap was cut short is put in its place; nothing else knows its rows. #}
{% macro finish_swaps(relations) %}
    {{ return(adapter.dispatch('finish_swaps', 'cdp')(relations)) }}
{% endmacro %}

{% macro default__finish_swaps(relations) %}{% endmacro %}

{% macro spark__finish_swaps(relations) %}
    {% for relation in relations %}
        {% set next = adapter.get_relation(none, relation.schema, relation.identifier ~ '__next') %}
        {% if next and not adapter.get_relation(none, relation.schema, relation.identifier) %}
            {% do log("Putting " ~ relation ~ " in its place: the last build ended while swapping it.", info=True) %}
            {% do adapter.rename_relation(next, relation) %}
        {% endif %}
    {% endfor %}
{% endmacro %}
