{# Staging views written from a table's declaration in `_<source>__sources.yml`: rename, cast,
   spell one way. `staged_versions` keeps every version once, `staged_newest` the newest per
   declared key; version ties are broken by the row's content, never by load time. A table
   without a key keeps all rows, equal ones numbered within their file. #}

{% macro staged_versions(source_name, table_name) -%}
    {{ staged(source_name, table_name, newest=false) }}
{%- endmacro %}

{% macro staged_newest(source_name, table_name) -%}
    {{ staged(source_name, table_name, newest=true) }}
{%- endmacro %}


{# The declaration of a raw table, from the graph; empty while dbt only parses. #}
{% macro declared_table(source_name, table_name) %}
    {% if not execute %}{{ return(none) }}{% endif %}
    {% for node in graph.sources.values() %}
        {% if node.source_name == source_name and node.name == table_name %}
            {{ return(node) }}
        {% endif %}
    {% endfor %}
    {{ exceptions.raise_compiler_error("No source " ~ source_name ~ "." ~ table_name ~ " is declared.") }}
{% endmacro %}


{# Every staged field of a declaration: name, raw expression, type, normaliser, country. #}
{% macro staged_fields(node) %}
    {% set fields = [] %}
    {% for column in node.columns.values() %}
        {% set meta = column.config.meta %}
        {% set raw = raw_column(column.name) %}
        {% do fields.append(staged_field(meta, meta.get('as', column.name), raw, raw_column(meta['country']) if 'country' in meta else none)) %}
        {% for field in meta.get('fields', []) %}
            {% set text = json_text(raw, field['path']) %}
            {% set text = url_parameter(text, field['parameter']) if 'parameter' in field else text %}
            {% do fields.append(staged_field(field, field['as'], text, json_text(raw, field['country']) if 'country' in field else none)) %}
        {% endfor %}
    {% endfor %}
    {{ return(fields) }}
{% endmacro %}

{% macro raw_column(name) %}{{ return('deliveries.' ~ adapter.quote(name)) }}{% endmacro %}

{% macro staged_field(meta, name, expression, country) %}
    {% set conditions = [] %}
    {% for column, values in meta.get('when', {}).items() %}
        {% do conditions.append(raw_column(column) ~ " in ('" ~ values | join("', '") ~ "')") %}
    {% endfor %}
    {{ return({
        'as': name, 'type': meta.get('type'), 'country': country,
        'expression': 'case when ' ~ conditions | join(' and ') ~ ' then ' ~ expression ~ ' end' if conditions else expression,
        'normalise': meta.get('normalise'), 'identifier': meta.get('identifier'),
        'scope': meta.get('scope', []), 'clock': meta.get('clock'),
    }) }}
{% endmacro %}


{# What means something only within something else (a LINE user within a provider) is spelled with
   it: `provider:user`. A device's clock that is wrong by more than the declared days is not
   believed: the event then happened when it was received. #}
{% macro staged_expression(field) %}
    {%- set text = field['expression'] -%}
    {%- set spelled -%}
    {%- if field['normalise'] == 'email' -%}{{ normalise_email(text) }}
    {%- elif field['normalise'] == 'name' -%}{{ normalise_name(text) }}
    {%- elif field['normalise'] == 'code' -%}{{ normalise_code(text) }}
    {%- elif field['normalise'] == 'upper_code' -%}{{ normalise_upper_code(text) }}
    {%- elif field['normalise'] == 'number_text' -%}{{ normalise_number_text(text) }}
    {%- elif field['normalise'] == 'phone' -%}{{ phone_digits(text) }}
    {%- elif field['normalise'] == 'country' -%}{{ lower_case(trimmed(text)) }}
    {%- elif field['type'] -%}{{ typed(text, field['type']) }}
    {%- elif field['clock'] -%}{{ believed_time(text, raw_column(field['clock']['received']), field['clock']['ahead_days'], field['clock']['behind_days']) }}
    {%- else -%}{{ text }}
    {%- endif -%}
    {%- endset -%}
    {%- for column in field['scope'] -%}
    {{ normalise_code(raw_column(column)) }} || ':' || {{ ' ' }}
    {%- endfor -%}
    {{ spelled }}
{% endmacro %}

{% macro believed_time(happened, received, ahead_days, behind_days) -%}
case
    when {{ happened }} > {{ dbt.dateadd('day', ahead_days, received) }}
        or {{ happened }} < {{ dbt.dateadd('day', -behind_days, received) }}
        then {{ received }}
    else {{ happened }}
end
{%- endmacro %}


{% macro staged(source_name, table_name, newest) -%}
{%- set inputs = {
    'raw': source(source_name, table_name),
    'current_loads': source('landing', 'current_loads'),
    'calling_codes': ref('calling_codes'),
    'country_spellings': ref('country_spellings'),
} -%}
{%- set node = declared_table(source_name, table_name) -%}
{%- if node is none -%}
select 1 as parsing_only
{%- else -%}
{{ staged_query(node, newest, inputs) }}
{%- endif -%}
{%- endmacro %}

{# The query of a view of the newest rows, of the keys alone that some loads brought. #}
{% macro staged_of_loads(staged, loads) -%}
{%- set inputs = {'raw': raw_relation(staged.raw), 'current_loads': current_loads_relation()} -%}
{%- for name in ('calling_codes', 'country_spellings') -%}
{%- do inputs.update({name: graph.nodes['seed.' ~ project_name ~ '.' ~ name].relation_name}) -%}
{%- endfor -%}
{{ staged_query(staged.raw, true, inputs, loads) }}
{%- endmacro %}

{# The key of a row as staging spells it, of the raw columns that are declared to be it. #}
{% macro record_key_of(key, alias) -%}
{%- if key | length == 1 -%}
cast({{ alias }}.{{ adapter.quote(key[0]) }} as {{ dbt.type_string() }})
{%- else -%}
concat_ws('|'{% for column in key %}, cast({{ alias }}.{{ adapter.quote(column) }} as {{ dbt.type_string() }}){% endfor %})
{%- endif -%}
{%- endmacro %}


{% macro staged_query(node, newest, inputs, loads=none) -%}
{%- set meta = node.config.meta -%}
{%- set fields = staged_fields(node) -%}
{%- set key = meta.get('key', []) -%}
{%- set version = meta.get('version', []) -%}
with

current_loads as (

    select load_id
    from {{ inputs.current_loads }}
    where
        source = '{{ node.source_name }}'
        and table_name = '{{ node.name }}'

),

deliveries as (

    {% if key and newest -%}
    {%- set partition -%}
    {% for column in key %}raw_rows.{{ adapter.quote(column) }}{{ ', ' if not loop.last }}{% endfor %}
    {%- endset -%}
    {%- set order -%}
    {% for column in version %}raw_rows.{{ adapter.quote(column) }} desc nulls last, {% endfor %}raw_rows._content_hash desc, raw_rows._file asc, raw_rows._row asc
    {%- endset -%}
    {%- elif key -%}
    {%- set partition -%}
    {% for column in key %}raw_rows.{{ adapter.quote(column) }}, {% endfor %}raw_rows._content_hash
    {%- endset -%}
    {%- set order = 'raw_rows._file asc, raw_rows._row asc' -%}
    {%- else -%}
    {%- set partition = 'raw_rows._file, raw_rows._content_hash' -%}
    {%- set order = 'raw_rows._row asc' -%}
    {%- endif -%}
    {{ ranked_deliveries(inputs.raw, 'current_loads', partition, order, key, loads) }}

),

spelled as (

    select
        {% if key -%}
        {{ record_key_of(key, 'deliveries') }} as record_key,
        {%- else -%}
        md5(concat_ws('|', deliveries._file, deliveries._content_hash, cast(deliveries.delivery_rank as {{ dbt.type_string() }}))) as record_key,
        deliveries.delivery_rank as equal_row_number,
        {%- endif %}
        {% for field in fields -%}
        {{ staged_expression(field) }} as {{ field['as'] }},
        {% if field['country'] -%}
        {{ lower_case(trimmed(field['country'])) }} as {{ field['as'] }}_country,
        {% endif -%}
        {% endfor -%}
        deliveries._content_hash as content_hash,
        deliveries._file as landed_file,
        deliveries._row as landed_row,
        deliveries._landed_as_of as landed_as_of
    from deliveries
    {% if key -%}
    where deliveries.delivery_rank = 1
    {%- endif %}

),

normalised as (

    select
        spelled.record_key,
        {% if not key -%}
        spelled.equal_row_number,
        {% endif -%}
        {% for field in fields -%}
        {% if field['normalise'] == 'phone' -%}
        {{ normalise_phone('spelled.' ~ field['as'], 'codes_' ~ field['as']) }} as {{ field['as'] }},
        {% elif field['normalise'] == 'country' -%}
        spellings_{{ field['as'] }}.country_code as {{ field['as'] }},
        {% elif field['as'] == 'is_deleted' -%}
        coalesce(spelled.is_deleted, false) as is_deleted,
        {% else -%}
        spelled.{{ field['as'] }},
        {% endif -%}
        {% endfor -%}
        spelled.content_hash,
        spelled.landed_file,
        spelled.landed_row,
        spelled.landed_as_of
    from spelled
    {% for field in fields -%}
    {% if field['normalise'] == 'phone' -%}
    left join {{ inputs.country_spellings }} as spellings_{{ field['as'] }}
        on spellings_{{ field['as'] }}.spelling = {% if field['country'] %}spelled.{{ field['as'] }}_country{% else %}'no country'{% endif %}

    left join {{ inputs.calling_codes }} as codes_{{ field['as'] }}
        on codes_{{ field['as'] }}.country_code = spellings_{{ field['as'] }}.country_code
    {% elif field['normalise'] == 'country' -%}
    left join {{ inputs.country_spellings }} as spellings_{{ field['as'] }}
        on spellings_{{ field['as'] }}.spelling = spelled.{{ field['as'] }}
    {% endif -%}
    {% endfor %}
)

select * from normalised
{%- endmacro %}


{# One row per identifier that a row of a staged table carries, by its declaration. Where a row does not
   say when it was observed, its version does, or the day it landed. #}
{% macro observed_identifiers(relation, source_name, table_name, condition=none) -%}
{%- set node = declared_table(source_name, table_name) -%}
{%- if node is none -%}
select 1 as parsing_only
{%- else -%}
{%- set observed_at = ['staged_rows.' ~ node.config.meta['observed_at']] -%}
{%- for column in node.columns.values() if column.name in node.config.meta.get('version', []) and column.data_type == 'timestamp' -%}
{%- do observed_at.append('staged_rows.' ~ column.config.meta.get('as', column.name)) -%}
{%- endfor -%}
{%- do observed_at.append('cast(staged_rows.landed_as_of as timestamp)') -%}
{%- set carried = staged_fields(node) | selectattr('identifier') | list %}
select
    '{{ source_name }}' as source,
    '{{ table_name }}' as table_name,
    staged_rows.record_key,
    carried.identifier_type,
    case carried.field_number
        {% for field in carried -%}
        when {{ loop.index }} then cast(staged_rows.{{ field['as'] }} as {{ dbt.type_string() }})
        {% endfor %}
    end as identifier_value,
    coalesce({{ observed_at | join(', ') }}) as observed_at
from {{ relation }} as staged_rows
cross join (
    {% for field in carried -%}
    select {{ loop.index }} as field_number, '{{ field['identifier'] }}' as identifier_type
    {{ 'union all' if not loop.last }}
    {% endfor %}
) as carried
{% if condition -%}
where {{ condition }}
{% endif -%}
{%- endif -%}
{%- endmacro %}
