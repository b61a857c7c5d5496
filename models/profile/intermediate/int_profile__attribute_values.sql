{%- set groups = attribute_groups() -%}
{%- set fields = attribute_fields() -%}
with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

),

blocked_values as (

    select * from {{ ref('blocked_attribute_values') }}

),

survivorship_rules as (

    select * from {{ ref('survivorship_rules') }}

),

survivorship_strategies as (

    select * from {{ ref('survivorship_strategies') }}

),

statements as (

    {% for group, own_fields in groups.items() %}
    select
        customer_id,
        '{{ group }}' as attribute_group,
        record_source,
        source,
        table_name,
        {% for field in fields %}
        {% if field in own_fields %}
        {{ field }},
        {% else %}
        cast(null as {{ 'date' if field == 'birth_date' else dbt.type_string() }}) as {{ field }},
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
    where coalesce(
        {% for field in own_fields %}
        cast({{ field }} as {{ dbt.type_string() }}){{ ',' if not loop.last }}
        {% endfor %}
        {%- if own_fields | length == 1 %}, null{% endif %}
    ) is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- One row for all records of a source that say the same.
said as (

    select
        customer_id,
        attribute_group,
        record_source,
        source,
        table_name,
        {% for field in fields %}
        {{ field }},
        {% endfor %}
        is_junk,
        field_count,
        attribute_value,
        min(first_said_at) as first_said_at,
        max(last_said_at) as last_said_at,
        cast(sum(record_count) as bigint) as record_count,
        substr(max({{ timed_key('last_said_at', 'record_key') }}), 20) as record_key

    from statements

    group by {% for place in range(1, 9 + fields | length) %}{{ place }}{{ ', ' if not loop.last }}{% endfor %}

),

trusted as (

    select
        said.*,
        coalesce(survivorship_rules.priority, {{ var('default_survivorship_priority') }})
            as priority,
        survivorship_strategies.strategy,
        sum(said.record_count) over (
            partition by said.customer_id, said.attribute_group, said.attribute_value
        ) as value_record_count,
        (
            said.is_junk
            {% for field in fields if field not in ('email', 'phone', 'country_code', 'language', 'preferences') %}
            or blocked_{{ field }}.attribute is not null
            {% endfor %}
        ) as is_blocked

    from said

    inner join survivorship_strategies
        on said.attribute_group = survivorship_strategies.attribute_group

    left join survivorship_rules
        on said.attribute_group = survivorship_rules.attribute_group
        and said.record_source = survivorship_rules.source

    {% for field in fields if field not in ('email', 'phone', 'country_code', 'language', 'preferences') %}
    left join blocked_values as blocked_{{ field }}
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

),

ranked as (

    select
        *,
        row_number() over (
            partition by customer_id, attribute_group
            order by
                {{ survival_order() | indent(16) }}
        ) as survival_rank

    from scored

)

select * from ranked
