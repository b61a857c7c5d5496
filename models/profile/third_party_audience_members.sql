-- What a partner or a data seller says of somebody we know already, found by a key that we hold
-- too: our own cookie, a mobile advertising id or the hash of an address. It makes nobody known,
-- ends third_party_valid_days after it was delivered, and where keys disagree the strictest
-- licence holds.
with

audience_members as (

    select
        *,
        {{ dbt.dateadd('day', var('third_party_valid_days'), 'delivered_at') }} as expires_at

    from {{ ref('stg_dmp__audience_members') }}

),

customer_identifiers as (

    select * from {{ ref('customer_identifiers') }}

),

held_keys as (

    select
        customer_id,
        'cookie' as key_type,
        {{ lower_case('identifier_value') }} as key_value

    from customer_identifiers

    where identifier_type = 'anonymous_id'

    union all

    select
        customer_id,
        'mobile_ad_id' as key_type,
        {{ lower_case('identifier_value') }} as key_value

    from customer_identifiers

    where identifier_type = 'mobile_ad_id'

    union all

    select
        customer_id,
        'hashed_email' as key_type,
        {{ hex_of_sha256('identifier_value') }} as key_value

    from customer_identifiers

    where identifier_type = 'email'

),

matched as (

    select
        held_keys.customer_id,
        audience_members.*

    from audience_members

    inner join held_keys
        on audience_members.key_type = held_keys.key_type
        and audience_members.key_value = held_keys.key_value

    where
        audience_members.expires_at > {{ as_of_timestamp() }}
        and audience_members.delivered_at
        < {{ dbt.dateadd('day', 1, as_of_timestamp()) }}

),

third_party_audience_members as (

    select
        customer_id,
        provider,
        third_party_audience_id,
        max(third_party_audience_name) as third_party_audience_name,
        max(party) as party,
        min(key_type) as matched_by,
        max(delivered_at) as delivered_at,
        max(expires_at) as expires_at,
        min(case when licence = 'activation' then 1 else 0 end) = 1 as is_for_activation,
        min(case when licence in ('activation', 'analytics') then 1 else 0 end) = 1
            as is_for_analytics

    from matched

    group by 1, 2, 3

)

select * from third_party_audience_members
