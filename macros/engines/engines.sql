{# What the engines spell differently. Every other macro and model is the same SQL on all. #}

{# The part of a JSON text at a dotted path, as text; null where it is absent. #}
{% macro json_text(column, path) %}
    {{- return(adapter.dispatch('json_text', 'cdp')(column, path)) -}}
{% endmacro %}

{% macro default__json_text(column, path) %}get_json_object({{ column }}, '$.{{ path }}'){% endmacro %}

{% macro duckdb__json_text(column, path) %}json_extract_string({{ column }}, '$.{{ path }}'){% endmacro %}


{# Every match replaced (DuckDB alone replaces the first unless told). #}
{% macro replace_all(text, pattern, replacement) %}
    {{- return(adapter.dispatch('replace_all', 'cdp')(text, pattern, replacement)) -}}
{% endmacro %}

{% macro default__replace_all(text, pattern, replacement) %}regexp_replace({{ text }}, r'{{ pattern }}', '{{ replacement }}'){% endmacro %}

{% macro duckdb__replace_all(text, pattern, replacement) %}regexp_replace({{ text }}, '{{ pattern }}', '{{ replacement }}', 'g'){% endmacro %}


{# Without blanks at the ends: every space of Unicode (category Zs), no tab or line end. DuckDB's
   own does that; Spark's knows the ASCII blank alone. #}
{% macro trimmed(text) %}
    {{- return(adapter.dispatch('trimmed', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__trimmed(text) -%}
{%- set blanks = ' \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000' -%}
btrim({{ text }}, '{{ blanks }}')
{%- endmacro %}

{% macro duckdb__trimmed(text) %}trim({{ text }}){% endmacro %}


{# Lower case, each letter by itself: Java would look at a sigma's place and split a dotted I. #}
{% macro lower_case(text) %}
    {{- return(adapter.dispatch('lower_case', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__lower_case(text) %}lower(translate({{ text }}, 'İΣ', 'iσ')){% endmacro %}

{% macro duckdb__lower_case(text) %}lower({{ text }}){% endmacro %}


{# Whether a regular expression matches anywhere in the text. #}
{% macro matches(text, pattern) %}
    {{- return(adapter.dispatch('matches', 'cdp')(text, pattern)) -}}
{% endmacro %}

{% macro default__matches(text, pattern) %}({{ text }} rlike {{ pattern }}){% endmacro %}

{% macro duckdb__matches(text, pattern) %}regexp_matches({{ text }}, {{ pattern }}){% endmacro %}

{# The same for patterns that are a seed's column. DuckDB compiles such a pattern anew for every row, a thousand
   times the work; so there the seed's patterns are written into the query, but where its rows are a unit test's. #}
{% macro matches_pattern_of(text, column, seed) %}
    {{- return(adapter.dispatch('matches_pattern_of', 'cdp')(text, column, seed)) -}}
{% endmacro %}

{% macro default__matches_pattern_of(text, column, seed) %}{{ matches(text, column) }}{% endmacro %}

{% macro duckdb__matches_pattern_of(text, column, seed) -%}
{%- if not execute or model.resource_type != 'model' or not table_exists(seed) -%}
{{ matches(text, column) }}
{%- else -%}
case {{ column }}
    {% for row in run_query("select distinct pattern from " ~ seed ~ " where match_type in ('regex', 'not_regex') order by 1").rows %}
    {%- set literal = "'" ~ dbt.escape_single_quotes(row[0]) ~ "'" %}
    when {{ literal }} then {{ matches(text, literal) }}
    {% endfor %}
end
{%- endif -%}
{%- endmacro %}


{# The first 60 bits of a text's md5 as a whole number, the same on every engine. #}
{% macro md5_bigint(text) %}
    {{- return(adapter.dispatch('md5_bigint', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__md5_bigint(text) %}cast(conv(substr(md5({{ text }}), 1, 15), 16, 10) as bigint){% endmacro %}

{% macro duckdb__md5_bigint(text) %}cast(concat('0x', substr(md5({{ text }}), 1, 15)) as bigint){% endmacro %}


{# A JSON object as text from a list of [name, expression]; nulls are left out of neither. #}
{% macro json_object(pairs) %}
    {{- return(adapter.dispatch('json_object', 'cdp')(pairs)) -}}
{% endmacro %}

{% macro default__json_object(pairs) -%}
to_json(named_struct({% for name, value in pairs %}'{{ name }}', {{ value }}{% if not loop.last %}, {% endif %}{% endfor %}), map('ignoreNullFields', 'false'))
{%- endmacro %}

{% macro duckdb__json_object(pairs) -%}
cast(json_object({% for name, value in pairs %}'{{ name }}', {{ value }}{% if not loop.last %}, {% endif %}{% endfor %}) as varchar)
{%- endmacro %}


{# The distinct values of a group as a JSON list of texts, in order: an aggregate. #}
{% macro sorted_json_set(text) %}
    {{- return(adapter.dispatch('sorted_json_set', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__sorted_json_set(text) %}to_json(array_sort(collect_set({{ text }}))){% endmacro %}

{% macro duckdb__sorted_json_set(text) %}cast(to_json(list_sort(list(distinct {{ text }}))) as varchar){% endmacro %}


{# The last day of each month between two dates, one row each, as month_end. #}
{% macro month_ends(first_date, last_date) %}
    {{- return(adapter.dispatch('month_ends', 'cdp')(first_date, last_date)) -}}
{% endmacro %}

{% macro default__month_ends(first_date, last_date) -%}
select last_day(month_start) as month_end
from (
    select explode(sequence(
        cast(date_trunc('month', {{ first_date }}) as date), cast({{ last_date }} as date), interval 1 month
    )) as month_start
) as months
{%- endmacro %}

{% macro duckdb__month_ends(first_date, last_date) -%}
select last_day(month_start) as month_end
from (
    select unnest(generate_series(
        cast(date_trunc('month', {{ first_date }}) as timestamp),
        cast({{ last_date }} as timestamp),
        interval 1 month
    )) as month_start
) as months
{%- endmacro %}


{# A text as a date, number or other type; null where it is none. Engines read half a date, or a
   number with signs between its digits, each in its own way: only whole forms are taken. #}
{% macro typed(text, type) -%}
{%- if type == 'date' -%}
case when {{ matches_form(text, '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?\\z') }} then try_cast(substr({{ text }}, 1, 10) as date) end
{%- elif type.startswith('decimal') -%}
{#- DuckDB casts 6e-10 to 0.0001; through a double it does not. -#}
case
    when {{ matches_form(text, '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)\\z') }} then try_cast({{ text }} as {{ type }})
    when {{ matches_form(text, '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]+\\z') }}
        then try_cast(try_cast({{ text }} as double) as {{ type }})
end
{%- else -%}
{{ exceptions.raise_compiler_error("A field of type " ~ type ~ " is not made equal on both engines yet; declare it as date or decimal.") }}
{%- endif -%}
{%- endmacro %}

{# Whether a text has a form that is written here, not in data. #}
{% macro matches_form(text, pattern) %}
    {{- return(adapter.dispatch('matches_form', 'cdp')(text, pattern)) -}}
{% endmacro %}

{% macro default__matches_form(text, pattern) %}({{ text }} rlike r'{{ pattern }}'){% endmacro %}

{% macro duckdb__matches_form(text, pattern) %}regexp_matches({{ text }}, '{{ pattern }}'){% endmacro %}


{# The value of the first of these parameters in a web address; null where it has none. #}
{% macro url_parameter(url, names) -%}
nullif(regexp_extract({{ url }}, '[?&]({{ names | join('|') }})=([^&#]+)', 2), '')
{%- endmacro %}


{# SHA-256 of a text's UTF-8 bytes in hexadecimal, as advertising networks hash addresses. #}
{% macro hex_of_sha256(text) %}
    {{- return(adapter.dispatch('hex_of_sha256', 'cdp')(text)) -}}
{% endmacro %}

{% macro default__hex_of_sha256(text) %}sha2({{ text }}, 256){% endmacro %}

{% macro duckdb__hex_of_sha256(text) %}sha256({{ text }}){% endmacro %}


{# Whole seconds from a time to a later one. #}
{% macro seconds_between(earlier, later) %}
    {{- return(adapter.dispatch('seconds_between', 'cdp')(earlier, later)) -}}
{% endmacro %}

{% macro default__seconds_between(earlier, later) %}((unix_micros({{ later }}) - unix_micros({{ earlier }})) div 1000000){% endmacro %}

{% macro duckdb__seconds_between(earlier, later) %}((epoch_us({{ later }}) - epoch_us({{ earlier }})) // 1000000){% endmacro %}


{# The host of a web address, lower case; null where it is none. #}
{% macro host(url) -%}
nullif({{ lower_case("regexp_extract(" ~ url ~ ", '^[a-zA-Z]+://([^/?#:]+)', 1)") }}, '')
{%- endmacro %}
