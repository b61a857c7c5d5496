with

contacts as (

    select * from {{ ref('int_identity__contacts_of_sources') }}

    where first_name is not null or last_name is not null

),

anchors as (

    select * from {{ ref('int_identity__anchors') }}

    where anchor_rank = 1 and is_active

),

-- One person may stand in many records: the fullest speaks, of those the newest.
ranked as (

    select
        anchors.node_key,
        contacts.first_name,
        contacts.last_name,
        contacts.birth_date,
        contacts.email,
        contacts.phone,
        contacts.address_line,
        contacts.city,
        contacts.postal_code,
        contacts.country_code,
        row_number() over (
            partition by anchors.node_key
            order by
                case when contacts.birth_date is null then 0 else 1 end
                + case when contacts.address_line is null then 0 else 1 end
                + case when contacts.email is null then 0 else 1 end
                + case when contacts.phone is null then 0 else 1 end desc,
                contacts.updated_at desc nulls last,
                contacts.record_source asc,
                contacts.record_key asc
        ) as record_rank

    from contacts

    inner join anchors
        on contacts.source = anchors.source
        and contacts.table_name = anchors.table_name
        and contacts.record_key = anchors.record_key

),

people as (

    select
        cast(node_key as {{ dbt.type_string() }}) as record_id,
        first_name,
        last_name,
        birth_date,
        email,
        phone,
        address_line,
        city,
        postal_code,
        country_code

    from ranked

    where record_rank = 1

)

select * from people
