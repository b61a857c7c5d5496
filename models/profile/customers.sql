{%- set groups = {
    'email': ['email'],
    'phone': ['phone'],
    'name': ['first_name', 'last_name'],
    'birth_date': ['birth_date'],
    'gender': ['gender'],
    'address': ['address_line', 'city', 'region', 'postal_code', 'country_code'],
} -%}
with

customer_identifiers as (

    select * from {{ ref('customer_identifiers') }}

),

surviving_groups as (

    select * from {{ ref('int_profile__surviving_groups') }}

),

country_languages as (

    select * from {{ ref('country_languages') }}

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
        {{ group }}_group.updated_at as {{ group }}_updated_at,
        {% endfor %}
        seen.first_seen_at,
        seen.last_seen_at,
        seen.is_identified

    from seen

    {% for group in groups %}
    left join surviving_groups as {{ group }}_group
        on seen.customer_id = {{ group }}_group.customer_id
        and {{ group }}_group.attribute_group = '{{ group }}'
    {% endfor %}

),

customers as (

    select
        golden.*,
        country_languages.language_code

    from golden

    left join country_languages
        on golden.country_code = country_languages.country_code

)

select * from customers
