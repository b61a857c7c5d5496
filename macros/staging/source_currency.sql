{# The currency that a source's amounts are in, from its declaration or the installation's. #}
{% macro source_currency(source_name) -%}
    {%- if execute -%}
        {%- set chosen = var('source_currencies', {}) -%}
        {%- if source_name in chosen -%}{{ return(chosen[source_name]) }}{%- endif -%}
        {%- for node in graph.sources.values() if node.source_name == source_name -%}
            {{ return(node.source_meta.get('currency') or node.config.meta.get('currency')) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
