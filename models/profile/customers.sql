{{ config(materialized='incremental', incremental_strategy='changed_customers') }}
{%- set groups = attribute_groups() %}
{%- set fields = attribute_fields() %}
-- depends_on: {{ ref('int_profile__changed_customers') }}
with

customer_identifiers as (

    select * from {{ ref('customer_identifiers') }}

    {{ of_changed_customers() }}

),

attribute_values as (

    select * from {{ ref('int_profile__attribute_values') }}

    {{ of_changed_customers() }}

),

country_languages as (

    select * from {{ ref('country_languages') }}

),

-- All that was said of a group that keeps the set of values.
sets as (

    select
        customer_id,
        attribute_group,
        {{ sorted_json_set('attribute_value') }} as value_set

    from attribute_values

    where strategy = 'set_of_values' and not is_blocked

    group by 1, 2

),

surviving_values as (

    select
        winners.customer_id,
        winners.attribute_group,
        {% for field in fields %}
        {% if field in ('gender', 'language', 'preferences') %}
        case
            when sets.value_set is not null and winners.{{ field }} is not null then sets.value_set
            else winners.{{ field }}
        end as {{ field }},
        {% else %}
        winners.{{ field }},
        {% endif %}
        {% endfor %}
        winners.record_source,
        winners.record_key,
        winners.priority,
        winners.field_count,
        winners.last_said_at

    from attribute_values as winners

    left join sets
        on winners.customer_id = sets.customer_id
        and winners.attribute_group = sets.attribute_group

    where winners.survival_rank = 1 and not winners.is_blocked

),

seen as (

    select
        customer_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        min(tier) < 4 as is_identified

    from customer_identifiers

    group by 1

),

golden as (

    select
        seen.customer_id,
        {% for group, fields in groups.items() %}
        {% for field in fields %}
        {{ group }}_group.{{ field }},
        {% endfor %}
        {{ group }}_group.record_source as {{ group }}_source,
        {{ group }}_group.record_key as {{ group }}_record_key,
        {{ group }}_group.priority as {{ group }}_priority,
        {{ group }}_group.last_said_at as {{ group }}_updated_at,
        cast({{ group }}_group.field_count as double) / {{ fields | length }}
            as {{ group }}_completeness,
        {% endfor %}
        seen.first_seen_at,
        seen.last_seen_at,
        seen.is_identified

    from seen

    {% for group in groups %}
    left join surviving_values as {{ group }}_group
        on seen.customer_id = {{ group }}_group.customer_id
        and {{ group }}_group.attribute_group = '{{ group }}'
    {% endfor %}

),

-- The language that the person set; spelled as their country does where it is the same.
customers as (

    select
        golden.*,
        case
            when
                golden.language is null
                or substr(country_languages.language_code, 1, 2) = golden.language
                then country_languages.language_code
            else golden.language
        end as language_code

    from golden

    left join country_languages
        on golden.country_code = country_languages.country_code

)

select * from customers
