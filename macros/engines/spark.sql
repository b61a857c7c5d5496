{# Spark's own forms of what dbt's macros spell for every engine. dbt looks in the project first. #}

{# dbt-spark's goes through whole seconds and loses the rest. #}
{% macro spark__dateadd(datepart, interval, from_date_or_timestamp) -%}
timestampadd({{ datepart }}, cast({{ interval }} as int), {{ from_date_or_timestamp }})
{%- endmacro %}

{# A whole number of days is a bigint on every engine. #}
{% macro spark__datediff(first_date, second_date, datepart) -%}
{%- if datepart != 'day' -%}
    {{ exceptions.raise_compiler_error("datediff in " ~ datepart ~ " is not made equal on both engines yet; count days.") }}
{%- endif -%}
cast(datediff(cast({{ second_date }} as date), cast({{ first_date }} as date)) as bigint)
{%- endmacro %}

{# Null where there are fewer parts, as on DuckDB; dbt-spark's own fails there. #}
{% macro spark__split_part(string_text, delimiter_text, part_number) -%}
get(split({{ string_text }}, r'\Q' || {{ delimiter_text }} || r'\E'), {{ part_number }} - 1)
{%- endmacro %}

{# A backslash is a sign of its own in Spark's texts; a quote is doubled as everywhere. #}
{% macro spark__escape_single_quotes(expression) -%}
{{ expression | replace('\\', '\\\\') | replace("'", "''") }}
{%- endmacro %}


{# A seed's rows in one statement: dbt-spark sends one for every few rows, seconds each. #}
{% macro spark__load_csv_rows(model, agate_table) %}
    {% set types = model['config'].get('column_types', {}) %}
    {% set statement %}
        insert into {{ this.render() }}
        select
            {% for name in agate_table.column_names -%}
            cast({{ adapter.quote(name) }} as {{ types.get(name, adapter.convert_type(agate_table, loop.index0)) }}){{ ', ' if not loop.last }}
            {%- endfor %}
        from values
            {% for row in agate_table.rows -%}
            ({% for value in row -%}
                {{ "null" if value is none else "'" ~ dbt.escape_single_quotes(value | string) ~ "'" }}{{ ', ' if not loop.last }}
            {%- endfor %}){{ ', ' if not loop.last }}
            {% endfor %}
        as seed_rows ({% for name in agate_table.column_names %}{{ adapter.quote(name) }}{{ ', ' if not loop.last }}{% endfor %})
    {% endset %}
    {% if agate_table.rows | length > 0 %}
        {% do adapter.add_query(statement, abridge_sql_log=True) %}
    {% endif %}
    {{ return(statement) }}
{% endmacro %}
