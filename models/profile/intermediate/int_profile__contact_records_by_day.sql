with

contact_versions as (

    select * from {{ ref('int_profile__contact_versions') }}

),

record_customers as (

    select * from {{ ref('record_customers') }}

),

identity_map as (

    select
        node_key,
        customer_id,
        opened_as_of,
        coalesce(closed_as_of, {{ end_of_time() }}) as closed_as_of

    from {{ ref('identity_map') }}

),

junk as (

    {{ junk_identifiers() | indent(4) }}

),

-- What a record said while it was this customer's.
owned as (

    select
        identity_map.customer_id,
        contact_versions.record_source,
        contact_versions.source,
        contact_versions.table_name,
        contact_versions.record_key,
        {% for field in contact_fields() %}
        contact_versions.{{ field }},
        {% endfor %}
        contact_versions.updated_at,
        greatest(contact_versions.known_from, identity_map.opened_as_of) as owned_from,
        least(contact_versions.known_until, identity_map.closed_as_of) as owned_until

    from contact_versions

    inner join record_customers
        on contact_versions.source = record_customers.source
        and contact_versions.table_name = record_customers.table_name
        and contact_versions.record_key = record_customers.record_key

    inner join identity_map
        on record_customers.node_key = identity_map.node_key

    where
        greatest(contact_versions.known_from, identity_map.opened_as_of)
        < least(contact_versions.known_until, identity_map.closed_as_of)

),

-- The days on which anything that is said of a customer begins or ends.
days as (

    select
        customer_id,
        owned_from as known_on

    from owned

    union

    select
        customer_id,
        owned_until as known_on

    from owned

),

numbered_days as (

    select
        customer_id,
        known_on,
        lead(known_on) over (partition by customer_id order by known_on) as known_until

    from days

),

records as (

    select
        owned.*,
        numbered_days.known_on,
        numbered_days.known_until

    from owned

    inner join numbered_days
        on owned.customer_id = numbered_days.customer_id
        and owned.owned_from <= numbered_days.known_on
        and owned.owned_until > numbered_days.known_on

),

contact_records as (

    {{ grouped_statements(['customer_id', 'known_on', 'known_until']) | indent(4) }}

)

select * from contact_records
