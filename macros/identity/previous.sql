{# The rows that the last build left in a model's own table; none before the first.
   Two models share the work, since Spark cannot overwrite a table it reads: one reads the
   previous rows through this macro and makes the next state, the other replaces the table. #}
{% macro previous_rows(schema_name, table_name, columns) -%}
select {% for name, type in columns %}{{ name }}{{ ', ' if not loop.last }}{% endfor %}
from {{ history_relation(schema_name, table_name) }}
{%- endmacro %}


{% macro history_relation(schema_name, table_name) %}
    {{ return(api.Relation.create(
        database=target.get('database'), schema=var('schema_prefix') ~ schema_name, identifier=table_name, type='table'
    )) }}
{% endmacro %}


{# Run at the start of each dbt run or build: makes the empty tables that `previous_rows` reads
   before the first build, and refuses a build for an earlier day than the last one's, since it
   would rewrite history. #}
{% macro prepare_history() %}
    {% if execute and flags.WHICH in ('run', 'build') %}
        {% do refuse_other_prefix() %}
        {% set tables = [
            ['identity', 'identity_registry', registry_columns()],
            ['identity', 'identity_map', map_columns()],
            ['identity', 'identity_events', event_columns()],
            ['identity', 'identity_quarantine', quarantine_columns()],
            ['identity', 'identity_run_metrics', run_metric_columns()],
            ['identity', 'record_customers', record_customer_columns()],
            ['audiences', 'audience_memberships', membership_columns()],
        ] %}
        {% set relations = [] %}
        {% for schema_name, table_name, columns in tables %}
            {% do relations.append(history_relation(schema_name, table_name)) %}
        {% endfor %}
        {% do finish_swaps(relations) %}
        {% for schema_name, table_name, columns in tables %}
            {% set relation = history_relation(schema_name, table_name) %}
            {% if not adapter.get_relation(relation.database, relation.schema, relation.identifier) %}
                {% do adapter.create_schema(relation.without_identifier()) %}
                {% set empty %}
                    select {% for name, type in columns %}cast(null as {{ type }}) as {{ name }}{{ ', ' if not loop.last }}{% endfor %}
                    where 1 = 0
                {% endset %}
                {% do run_query(get_create_table_as_sql(False, relation, empty)) %}
                {# dbt listed the relations before this hook. #}
                {% do adapter.cache_added(relation) %}
            {% endif %}
        {% endfor %}
        {{ refuse_earlier_build() }}
        {% do prepare_build_state() %}
    {% endif %}
{% endmacro %}


{% macro refuse_earlier_build() %}
    {% if not var('allow_earlier_build') %}
        {% set registry = history_relation('identity', 'identity_registry') %}
        {% set last = run_query("select max(built_as_of) from " ~ registry).columns[0].values()[0] %}
        {% if last and last | string > var('as_of_date') | string %}
            {{ exceptions.raise_compiler_error(
                "This warehouse was built as of " ~ last ~ "; a build as of " ~ var('as_of_date')
                ~ " would rewrite its history. Set CDP_AS_OF_DATE to " ~ last ~ " or later (with dbt itself:"
                ~ " --vars '{as_of_date: ...}'), or build into a scratch copy with"
                ~ " --vars '{allow_earlier_build: true}'."
            ) }}
        {% endif %}
    {% endif %}
{% endmacro %}


{# Columns of the tables whose rows outlive a build, for `previous_rows`. #}
{% macro registry_columns() %}
    {{ return([
        ['customer_id', dbt.type_string()], ['anchor_node_key', 'bigint'], ['minted_node_key', 'bigint'],
        ['status', dbt.type_string()], ['merged_into', dbt.type_string()], ['created_as_of', 'date'],
        ['created_build', 'bigint'], ['ended_as_of', 'date'], ['built_as_of', 'date'], ['build_number', 'bigint'],
    ]) }}
{% endmacro %}

{% macro map_columns() %}
    {{ return([
        ['node_key', 'bigint'], ['identifier_type', dbt.type_string()], ['identifier_value', dbt.type_string()],
        ['customer_id', dbt.type_string()], ['valid_from', 'timestamp'], ['valid_to', 'timestamp'],
        ['opened_as_of', 'date'], ['closed_as_of', 'date'],
    ]) }}
{% endmacro %}

{% macro event_columns() %}
    {{ return([
        ['event_type', dbt.type_string()], ['customer_id', dbt.type_string()],
        ['other_customer_id', dbt.type_string()], ['node_count', 'bigint'], ['recorded_at', 'timestamp'],
        ['event_sequence', 'bigint'], ['build_number', 'bigint'], ['run_id', dbt.type_string()],
    ]) }}
{% endmacro %}

{% macro quarantine_columns() %}
    {{ return([
        ['quarantine_key', dbt.type_string()], ['reason', dbt.type_string()],
        ['identifier_type', dbt.type_string()], ['identifier_value', dbt.type_string()],
        ['rule_id', dbt.type_string()], ['observed_value', 'bigint'], ['limit_value', 'bigint'],
        ['first_recorded_at', 'timestamp'], ['last_recorded_at', 'timestamp'], ['released_at', 'timestamp'],
    ]) }}
{% endmacro %}

{% macro record_customer_columns() %}
    {{ return([
        ['source', dbt.type_string()], ['table_name', dbt.type_string()], ['record_key', dbt.type_string()],
        ['customer_id', dbt.type_string()],
    ]) }}
{% endmacro %}

{% macro run_metric_columns() %}
    {{ return([
        ['build_number', 'bigint'], ['run_id', dbt.type_string()], ['recorded_at', 'timestamp'],
        ['active_identifier_count', 'bigint'], ['quarantined_identifier_count', 'bigint'],
        ['expired_identifier_count', 'bigint'], ['active_edge_count', 'bigint'], ['refused_edge_count', 'bigint'],
        ['quarantined_edge_count', 'bigint'], ['expired_edge_count', 'bigint'], ['probable_edge_count', 'bigint'],
        ['manual_edge_count', 'bigint'], ['customer_count', 'bigint'], ['customers_of_1', 'bigint'],
        ['customers_of_2_to_5', 'bigint'], ['customers_of_6_to_20', 'bigint'], ['customers_of_21_to_100', 'bigint'],
        ['customers_of_more', 'bigint'], ['largest_customer', 'bigint'], ['top_ten_share', 'double'],
        ['oversized_customer_count', 'bigint'], ['create_count', 'bigint'], ['merge_count', 'bigint'],
        ['split_count', 'bigint'], ['restore_count', 'bigint'], ['move_count', 'bigint'], ['retire_count', 'bigint'],
        ['record_count', 'bigint'], ['renumbered_count', 'bigint'], ['renumbered_share', 'double'],
        ['solve_mode', dbt.type_string()], ['solve_reason', dbt.type_string()], ['solved_node_count', 'bigint'],
        ['solve_rounds', 'bigint'], ['solve_seconds', 'double'],
    ]) }}
{% endmacro %}

{% macro membership_columns() %}
    {{ return([
        ['audience', dbt.type_string()], ['customer_id', dbt.type_string()], ['entered_at', 'timestamp'],
        ['exited_at', 'timestamp'], ['exit_reason', dbt.type_string()], ['rule_version', 'bigint'],
    ]) }}
{% endmacro %}
