{# The golden record's rules, said once for what is known now (int_profile__contact_records,
   int_profile__attribute_values) and for what was known on a day (customer_history): `by` are the
   columns that statements are told apart by, the customer alone or the customer and the day. #}

{# Statements of records with a customer, spelled one way; what a source says again is one row. The
   records are read from a CTE `records` that has the columns `by`, those of contact_columns and, of
   the customer, whose they are; junk identifiers from a CTE `junk`. #}
{% macro grouped_statements(by) -%}
{%- set fields = attribute_fields() -%}
select
    {% for column in by -%}
    records.{{ column }},
    {% endfor -%}
    records.record_source,
    records.source,
    records.table_name,
    {% for field in fields -%}
    {% if field == 'language' -%}
    {{ lower_case('substr(records.language, 1, 2)') }} as language,
    {% elif field == 'preferences' -%}
    {{ lower_case(trimmed('records.preferences')) }} as preferences,
    {% else -%}
    records.{{ field }},
    {% endif -%}
    {% endfor -%}
    junk_emails.identifier_value is not null as is_junk_email,
    junk_phones.identifier_value is not null as is_junk_phone,
    case when coalesce(junk_emails.blocks_sending, false) = false then records.email end as contact_email,
    case when coalesce(junk_phones.blocks_sending, false) = false then records.phone end as contact_phone,
    min(records.updated_at) as first_said_at,
    max(records.updated_at) as last_said_at,
    count(*) as record_count,
    substr(max({{ timed_key('records.updated_at', 'records.record_key') }}), 20) as record_key
from records
left join junk as junk_emails
    on junk_emails.identifier_type = 'email'
    and records.email = junk_emails.identifier_value
left join junk as junk_phones
    on junk_phones.identifier_type = 'phone'
    and records.phone = junk_phones.identifier_value
group by {{ places(by | length + 7 + fields | length) }}
{%- endmacro %}

{# Identifiers that are junk, and whether what has one may be written to: the CTE `junk` of what reads statements. #}
{% macro junk_identifiers() -%}
select
    identifier_type,
    identifier_value,
    blocks_sending

from {{ ref('identifiers') }}

where status_reason = 'junk_value'
{%- endmacro %}

{# 1, 2, … to group by that many columns. #}
{% macro places(count) -%}
{% for place in range(1, count + 1) %}{{ place }}{{ ', ' if not loop.last }}{% endfor %}
{%- endmacro %}

{# Statements of each group of fields, one row for all records of a source that say the same, ranked
   by the group's strategy. Read from a CTE `contact_records` of grouped_statements. #}
{% macro ranked_statements(by) -%}
{%- set groups = attribute_groups() -%}
{%- set fields = attribute_fields() -%}
{%- set blockable = ['first_name', 'last_name', 'address_line', 'city', 'region', 'postal_code', 'birth_date', 'gender'] -%}
with

statements as (

    {% for group, own_fields in groups.items() %}
    select
        {{ by | join(', ') }},
        '{{ group }}' as attribute_group,
        record_source,
        source,
        table_name,
        {% for field in fields %}
        {% if field in own_fields %}
        {{ field }},
        {% else %}
        cast(null as {{ contact_fields()[field] }}) as {{ field }},
        {% endif %}
        {% endfor %}
        {% if group in ('email', 'phone') %}
        is_junk_{{ group }} as is_junk,
        {% elif group == 'birth_date' %}
        birth_date > {{ as_of_date() }} as is_junk,
        {% else %}
        false as is_junk,
        {% endif %}
        cast(
            {% for field in own_fields %}
            {{ '+ ' if not loop.first }}case when {{ field }} is null then 0 else 1 end
            {% endfor %}
            as bigint
        ) as field_count,
        concat_ws(
            ', '
            {%- for field in own_fields -%}
            , cast({{ field }} as {{ dbt.type_string() }})
            {%- endfor -%}
        ) as attribute_value,
        first_said_at,
        last_said_at,
        record_count,
        record_key
    from contact_records
    where {% for field in own_fields %}{{ field }} is not null{{ ' or ' if not loop.last }}{% endfor %}

    {{ 'union all' if not loop.last }}
    {% endfor %}

),

said as (

    select
        {{ by | join(', ') }},
        attribute_group,
        record_source,
        source,
        table_name,
        {{ fields | join(', ') }},
        is_junk,
        field_count,
        attribute_value,
        min(first_said_at) as first_said_at,
        max(last_said_at) as last_said_at,
        cast(sum(record_count) as bigint) as record_count,
        substr(max({{ timed_key('last_said_at', 'record_key') }}), 20) as record_key

    from statements

    group by {{ places(by | length + 7 + fields | length) }}

),

trusted as (

    select
        said.*,
        coalesce(rules.priority, {{ var('default_survivorship_priority') }}) as priority,
        strategies.strategy,
        sum(said.record_count) over (
            partition by {% for column in by %}said.{{ column }}, {% endfor %}said.attribute_group, said.attribute_value
        ) as value_record_count,
        (
            said.is_junk
            {% for field in blockable %}
            or blocked_{{ field }}.attribute is not null
            {% endfor %}
        ) as is_blocked

    from said

    inner join {{ ref('survivorship_strategies') }} as strategies
        on said.attribute_group = strategies.attribute_group

    left join {{ ref('survivorship_rules') }} as rules
        on said.attribute_group = rules.attribute_group
        and said.record_source = rules.source

    {% for field in blockable %}
    left join {{ ref('blocked_attribute_values') }} as blocked_{{ field }}
        on blocked_{{ field }}.attribute = '{{ field }}'
        and {{ lower_case('cast(said.' ~ field ~ ' as ' ~ dbt.type_string() ~ ')') }}
        = blocked_{{ field }}.attribute_value

    {% endfor %}

),

scored as (

    select
        trusted.*,
        {{ survival_score('trusted', 'trusted.strategy') }} as survival_score

    from trusted

)

select
    *,
    cast(row_number() over (
        partition by {{ by | join(', ') }}, attribute_group
        order by
            {{ survival_order() | indent(12) }}
    ) as bigint) as survival_rank

from scored
{%- endmacro %}
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

{% macro first_second() %}cast('1970-01-01' as timestamp){% endmacro %}

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
