with

consent_history as (

    select * from {{ ref('consent_history') }}

),

identity_map as (

    select * from {{ ref('identity_map') }}

),

owners as (

    select
        identifier_type,
        identifier_value,
        customer_id,
        opened_as_of,
        coalesce(closed_as_of, {{ end_of_time() }}) as closed_as_of

    from identity_map

),

-- What was known of a contact point on the days on which it was this customer's.
periods as (

    select
        owners.customer_id,
        consent_history.contact_point_type,
        consent_history.contact_point,
        consent_history.channel,
        consent_history.purpose,
        consent_history.status,
        consent_history.captured_at,
        consent_history.expires_at,
        consent_history.source,
        consent_history.proof_ref,
        greatest(consent_history.valid_from, owners.opened_as_of) as valid_from,
        least(coalesce(consent_history.valid_to, {{ end_of_time() }}), owners.closed_as_of)
            as valid_to

    from consent_history

    inner join owners
        on consent_history.contact_point_type = owners.identifier_type
        and consent_history.contact_point = owners.identifier_value

),

customer_consent_history as (

    select
        customer_id,
        contact_point_type,
        contact_point,
        channel,
        purpose,
        status,
        captured_at,
        expires_at,
        source,
        proof_ref,
        valid_from,
        nullif(valid_to, {{ end_of_time() }}) as valid_to,
        valid_to = {{ end_of_time() }} as is_current

    from periods

    where valid_from < valid_to

)

select * from customer_consent_history
