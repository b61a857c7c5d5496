with

consent_events as (

    select * from {{ ref('stg_consent__consent_events') }}

),

signals as (

    select * from {{ ref('int_profile__contact_point_signals') }}

    where status is not null

),

consent_jurisdictions as (

    select * from {{ ref('consent_jurisdictions') }}

),

-- A yes that should have been confirmed and was not is no answer; one that was counts from then.
form_answers as (

    select
        consent_events.contact_point_type,
        case consent_events.contact_point_type
            when 'email' then consent_events.email
            when 'phone' then consent_events.phone
            else {{ trimmed('consent_events.contact_point') }}
        end as contact_point,
        consent_events.channel,
        consent_events.purpose,
        consent_events.status = 'subscribed'
        and coalesce(consent_jurisdictions.needs_confirmation, false)
        and consent_events.confirmed_at is null as is_unconfirmed,
        consent_events.status,
        consent_events.jurisdiction,
        consent_events.basis,
        case
            when consent_events.status = 'subscribed'
                then greatest(
                    consent_events.captured_at,
                    coalesce(consent_events.confirmed_at, consent_events.captured_at)
                )
            else consent_events.captured_at
        end as captured_at,
        consent_events.expires_at,
        coalesce(consent_events.consent_source, 'consent') as answer_source,
        consent_events.proof_ref,
        'consent' as source,
        'consent_events' as table_name,
        consent_events.record_key,
        consent_events.record_key as answer_key,
        consent_events.landed_as_of

    from consent_events

    left join consent_jurisdictions
        on consent_events.jurisdiction = consent_jurisdictions.jurisdiction
        and consent_events.channel = consent_jurisdictions.channel

),

answers as (

    select
        contact_point_type,
        contact_point,
        channel,
        purpose,
        is_unconfirmed,
        case when is_unconfirmed then 'unknown' else status end as status,
        jurisdiction,
        basis,
        captured_at,
        expires_at,
        answer_source,
        proof_ref,
        source,
        table_name,
        record_key,
        answer_key,
        landed_as_of

    from form_answers

    union all

    select
        contact_point_type,
        contact_point,
        channel,
        purpose,
        false as is_unconfirmed,
        status,
        cast(null as {{ dbt.type_string() }}) as jurisdiction,
        case when status = 'subscribed' then 'consent' end as basis,
        occurred_at as captured_at,
        cast(null as timestamp) as expires_at,
        source as answer_source,
        event_key as proof_ref,
        source,
        table_name,
        record_key,
        event_key as answer_key,
        landed_as_of

    from signals

)

select * from answers

where contact_point is not null and captured_at < {{ dbt.dateadd('day', 1, as_of_timestamp()) }}
