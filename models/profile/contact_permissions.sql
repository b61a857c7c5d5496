with

contact_points as (

    select * from {{ ref('contact_points') }}

),

consent_purposes as (

    select * from {{ ref('consent_purposes') }}

),

customer_consents as (

    select * from {{ ref('customer_consents') }}

),

-- Too many identifiers for one person: nothing is sent until somebody looked.
oversized_clusters as (

    select customer_id from {{ ref('identity_clusters') }}

    where is_oversized

),

-- Who asked to be left alone, whatever was said before or is said after.
suppressions as (

    select * from {{ ref('stg_privacy__suppressions') }}

),

reasons as (

    select
        contact_points.customer_id,
        contact_points.contact_point_type,
        contact_points.contact_point,
        consent_purposes.channel,
        consent_purposes.purpose,
        customer_consents.captured_at,
        contact_points.is_preferred,
        contact_points.last_seen_at,
        case
            when suppressions.contact_point is not null then 'suppressed'
            when oversized_clusters.customer_id is not null then 'oversized_cluster'
            when contact_points.reachability = 'invalid' then 'invalid'
            -- An advertising network only compares the address.
            when not contact_points.is_reachable and consent_purposes.channel <> 'ads'
                then contact_points.reachability
            when customer_consents.status = 'unsubscribed' then 'unsubscribed'
            when customer_consents.status = 'did_not_subscribe' then 'did_not_subscribe'
            when
                customer_consents.status = 'subscribed'
                and consent_purposes.needs_opt_in
                and customer_consents.expires_at <= {{ as_of_timestamp() }}
                then 'consent_expired'
            when
                customer_consents.status = 'subscribed'
                and (
                    customer_consents.expires_at is null
                    or customer_consents.expires_at > {{ as_of_timestamp() }}
                )
                then 'subscribed'
            when customer_consents.is_unconfirmed and consent_purposes.needs_opt_in
                then 'not_confirmed'
            when consent_purposes.needs_opt_in then 'no_consent'
            else 'no_opt_in_needed'
        end as reason

    from contact_points

    inner join consent_purposes
        on contact_points.contact_point_type = consent_purposes.contact_point_type

    left join suppressions
        on contact_points.contact_point_type = suppressions.contact_point_type
        and contact_points.contact_point = suppressions.contact_point

    left join oversized_clusters
        on contact_points.customer_id = oversized_clusters.customer_id

    left join customer_consents
        on contact_points.customer_id = customer_consents.customer_id
        and contact_points.contact_point_type = customer_consents.contact_point_type
        and contact_points.contact_point = customer_consents.contact_point
        and consent_purposes.channel = customer_consents.channel
        and consent_purposes.purpose = customer_consents.purpose

),

contact_permissions as (

    select
        customer_id,
        contact_point_type,
        contact_point,
        channel,
        purpose,
        reason in ('subscribed', 'no_opt_in_needed') as is_permitted,
        reason,
        captured_at,
        is_preferred,
        last_seen_at

    from reasons

)

select * from contact_permissions
