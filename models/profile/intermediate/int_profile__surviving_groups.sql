{%- set groups = {
    'name': ['first_name', 'last_name'],
    'email': ['email'],
    'phone': ['phone'],
    'birth_date': ['birth_date'],
    'gender': ['gender'],
    'address': ['address_line', 'city', 'region', 'postal_code', 'country_code'],
} -%}
with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

),

survivorship_rules as (

    select * from {{ ref('survivorship_rules') }}

),

candidates as (

    {% for group, fields in groups.items() %}
    select
        '{{ group }}' as attribute_group,
        contact_records.*,
        (
            {% for field in fields %}
            {{ '+' if not loop.first }}
            case when contact_records.{{ field }} is null then 0 else 1 end
            {% endfor %}
        ) as field_count
    from contact_records
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

ranked as (

    select
        candidates.*,
        row_number() over (
            partition by candidates.customer_id, candidates.attribute_group
            order by
                case
                    when survivorship_rules.strategy = 'source_priority'
                        then candidates.field_count
                end desc nulls last,
                survivorship_rules.priority asc,
                case
                    when survivorship_rules.strategy = 'oldest' then candidates.updated_at
                end asc nulls last,
                candidates.updated_at desc nulls last,
                candidates.record_source asc,
                candidates.record_key asc,
                candidates.email asc nulls last,
                candidates.phone asc nulls last,
                candidates.address_line asc nulls last,
                candidates.city asc nulls last,
                candidates.region asc nulls last,
                candidates.postal_code asc nulls last,
                candidates.country_code asc nulls last,
                candidates.first_name asc nulls last,
                candidates.last_name asc nulls last
        ) as survival_rank

    from candidates

    inner join survivorship_rules
        on candidates.attribute_group = survivorship_rules.attribute_group
        and candidates.record_source = survivorship_rules.source

    where candidates.field_count > 0

)

select * from ranked

where survival_rank = 1
