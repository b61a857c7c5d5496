with

consent_events as (

    select * from {{ ref('stg_consent__consent_events') }}

    where captured_at < {{ dbt.dateadd('day', 1, as_of_timestamp()) }}

),

contact_points as (

    select * from {{ ref('int_profile__contact_points') }}

),

consent_purposes as (

    select * from {{ ref('consent_purposes') }}

),

answers as (

    select
        contact_point_type,
        case when contact_point_type = 'email' then email else phone end as contact_point,
        channel,
        purpose,
        jurisdiction,
        status,
        captured_at,
        expires_at,
        consent_source,
        record_key

    from consent_events

),

ranked as (

    select
        *,
        row_number() over (
            partition by contact_point_type, contact_point, channel, purpose
            order by
                case when status = 'unknown' then 1 else 0 end asc,
                {{ dbt.date_trunc('second', 'captured_at') }} desc,
                case
                    when status = 'unsubscribed' then 1
                    when status = 'did_not_subscribe' then 2
                    else 3
                end asc,
                record_key asc
        ) as answer_rank

    from answers

    where contact_point is not null

),

customer_consents as (

    select
        contact_points.customer_id,
        ranked.contact_point_type,
        ranked.contact_point,
        ranked.channel,
        ranked.purpose,
        ranked.jurisdiction,
        ranked.status,
        ranked.captured_at,
        coalesce(
            ranked.expires_at,
            {{ dbt.dateadd('day', 'consent_purposes.valid_days', 'ranked.captured_at') }}
        ) as expires_at,
        ranked.consent_source as source

    from ranked

    inner join contact_points
        on ranked.contact_point_type = contact_points.contact_point_type
        and ranked.contact_point = contact_points.contact_point

    left join consent_purposes
        on ranked.contact_point_type = consent_purposes.contact_point_type
        and ranked.channel = consent_purposes.channel
        and ranked.purpose = consent_purposes.purpose

    where ranked.answer_rank = 1

)

select * from customer_consents
