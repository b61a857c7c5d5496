{# The golden record's groups, each with its fields: a group comes whole from one statement. #}
{% macro attribute_groups() %}
    {{ return({
        'name': ['first_name', 'last_name'],
        'email': ['email'],
        'phone': ['phone'],
        'address': ['address_line', 'city', 'region', 'postal_code', 'country_code'],
        'birth_date': ['birth_date'],
        'gender': ['gender'],
        'language': ['language'],
        'preferences': ['preferences'],
    }) }}
{% endmacro %}

{# Every field of every group. #}
{% macro attribute_fields() %}
    {{ return(attribute_groups().values() | sum(start=[])) }}
{% endmacro %}

{# What a strategy goes by, as a number that is larger for what it prefers. #}
{% macro survival_score(statement, strategy) -%}
case {{ strategy }}
    when 'source_priority' then -{{ statement }}.priority
    when 'most_recent' then {{ seconds_between(first_second(), statement ~ '.last_said_at') }}
    when 'set_of_values' then {{ seconds_between(first_second(), statement ~ '.last_said_at') }}
    when 'oldest' then -{{ seconds_between(first_second(), statement ~ '.first_said_at') }}
    when 'most_frequent' then {{ statement }}.value_record_count
    when 'most_complete' then {{ statement }}.field_count
    when 'longest' then length({{ statement }}.attribute_value)
end
{%- endmacro %}

{% macro first_second() %}timestamp '1970-01-01 00:00:00'{% endmacro %}

{# The order in which statements of one group are preferred, the winner first. #}
{% macro survival_order() -%}
is_blocked asc,
survival_score desc nulls last,
field_count desc,
priority asc,
last_said_at desc nulls last,
record_source asc,
record_key asc,
attribute_value asc
{%- endmacro %}
