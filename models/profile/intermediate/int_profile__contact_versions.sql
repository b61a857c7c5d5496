{# As int_identity__contacts_of_sources, of every version of each row; and from when to when it was
   the newest that had landed. -#}
{%- set fields = contact_fields() -%}
with

versions as (

    {% for contact in contacts_of_sources() %}
    {%- set model = contact[3] ~ '_versions' %}
    select
        {{ contact_columns(contact) | indent(4) }},
        coalesce({{ contact[7] }}, false) as is_said,
        '{{ contact[0] }}|{{ contact[6] }}|' || record_key as row_key,
        landed_as_of,
        row_number() over (
            partition by record_key
            order by
                {% for column in version_columns(model) or [contact[5]] %}
                {{ column }} asc nulls first,
                {% endfor %}
                content_hash asc,
                landed_file desc,
                landed_row desc
        ) as version_place
    from {{ ref(model) }}
    {%- if contact[3] == 'stg_web__events' %}
    -- Events do not change their kind, and most say nothing of the person.
    where {{ contact[7] }}
    {%- endif %}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

placed as (

    select
        *,
        max(version_place) over (partition by row_key order by landed_as_of) as newest_place

    from versions

),

-- An older version that lands late changes nothing; of one day's the newest stands.
periods as (

    select
        *,
        landed_as_of as known_from,
        coalesce(
            lead(landed_as_of) over (partition by row_key order by landed_as_of),
            {{ end_of_time() }}
        ) as known_until

    from placed

    where version_place = newest_place

)

select
    record_source,
    source,
    table_name,
    record_key,
    {{ fields.keys() | join(', ') }},
    updated_at,
    known_from,
    known_until

from periods

where is_said
