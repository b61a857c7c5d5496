{# Where tables are: the layer is the schema, with what the installation puts before it. #}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ var('schema_prefix') }}{{ custom_schema_name or target.schema }}
{%- endmacro %}

{# Raw tables are in schemas of the same prefix; their declarations name them without it. A preview
   reads them where they are and builds under a prefix of its own. #}
{% macro source(source_name, table_name) %}
    {% set relation = builtins.source(source_name, table_name) %}
    {% set prefix = var('raw_schema_prefix') if var('raw_schema_prefix') is not none else var('schema_prefix') %}
    {# A unit test's rows have no schema. #}
    {% if prefix and relation.schema %}
        {% set relation = relation.incorporate(path={'schema': prefix ~ relation.schema}) %}
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


{# A bare dbt command knows the prefix by its variable alone, and must not write elsewhere. #}
{% macro refuse_other_prefix() %}
    {{ return(adapter.dispatch('refuse_other_prefix', 'cdp')()) }}
{% endmacro %}

{% macro default__refuse_other_prefix() %}{% endmacro %}

{% macro spark__refuse_other_prefix() %}
    {% set wanted = env_var('CDP_SCHEMA_PREFIX', '') %}
    {% if wanted != var('schema_prefix') %}
        {{ exceptions.raise_compiler_error(
            "CDP_SCHEMA_PREFIX is '" ~ wanted ~ "' and the variable schema_prefix '" ~ var('schema_prefix')
            ~ "'. Give dbt --vars '{schema_prefix: " ~ wanted ~ ", as_of_date: ...}'; cdp does so itself."
        ) }}
    {% endif %}
{% endmacro %}
