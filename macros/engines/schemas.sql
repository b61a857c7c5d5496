{# Where tables are: the layer is the schema, with what the installation puts before it. #}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ var('schema_prefix') }}{{ custom_schema_name or target.schema }}
{%- endmacro %}

{# Raw tables are in schemas of the same prefix; their declarations name them without it. #}
{% macro source(source_name, table_name) %}
    {% set relation = builtins.source(source_name, table_name) %}
    {% if var('schema_prefix') %}
        {% set relation = relation.incorporate(path={'schema': var('schema_prefix') ~ relation.schema}) %}
    {% endif %}
    {{ return(relation) }}
{% endmacro %}


{# A schema's tables are files below the storage that all workers see. #}
{% macro spark__create_schema(relation) %}
    {% set storage = env_var('CDP_SPARK_STORAGE', '') %}
    {% call statement('create_schema') %}
        create schema if not exists {{ relation }}
        {% if storage %}location '{{ storage.rstrip('/') }}/{{ relation.schema }}'{% endif %}
    {% endcall %}
{% endmacro %}
