with

consent_history as (

    select * from {{ ref('consent_history') }}

    where is_current

),

contact_points as (

    select * from {{ ref('contact_points') }}

),

consent_purposes as (

    select * from {{ ref('consent_purposes') }}

),

customer_consents as (

    select
        contact_points.customer_id,
        consent_history.contact_point_type,
        consent_history.contact_point,
        consent_history.channel,
        consent_history.purpose,
        consent_history.jurisdiction,
        consent_history.status,
        consent_history.is_unconfirmed,
        consent_history.basis,
        consent_history.captured_at,
        coalesce(
            consent_history.expires_at,
            {{ dbt.dateadd('day', 'consent_purposes.valid_days', 'consent_history.captured_at') }}
        ) as expires_at,
        consent_history.source,
        consent_history.proof_ref,
        consent_history.decided_by

    from consent_history

    inner join contact_points
        on consent_history.contact_point_type = contact_points.contact_point_type
        and consent_history.contact_point = contact_points.contact_point

    left join consent_purposes
        on consent_history.contact_point_type = consent_purposes.contact_point_type
        and consent_history.channel = consent_purposes.channel
        and consent_history.purpose = consent_purposes.purpose

)

select * from customer_consents
