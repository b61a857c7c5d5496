-- What an agent noted is a touch of each contact it is about, and so is a deal: opened, and once
-- more when it is won or lost. A deal is a promise, never revenue: that is counted when it is
-- invoiced.
with

engagement_calls as (

    select * from {{ ref('stg_hubspot__engagement_calls') }}

    where not is_deleted

),

engagement_notes as (

    select * from {{ ref('stg_hubspot__engagement_notes') }}

    where not is_deleted

),

engagement_meetings as (

    select * from {{ ref('stg_hubspot__engagement_meetings') }}

    where not is_deleted

),

engagement_contacts as (

    select * from {{ ref('stg_hubspot__engagement_contacts') }}

),

deals as (

    select * from {{ ref('stg_hubspot__deals') }}

    where not is_deleted

),

deal_contacts as (

    select * from {{ ref('stg_hubspot__deal_contacts') }}

),

stages as (

    select * from {{ ref('stg_hubspot__deal_pipeline_stages') }}

),

noted as (

    select
        engagement_id,
        'phone' as channel,
        'call_noted' as source_activity,
        happened_at

    from engagement_calls

    union all

    select
        engagement_id,
        'crm' as channel,
        'note_written' as source_activity,
        happened_at

    from engagement_notes

    union all

    select
        engagement_id,
        'crm' as channel,
        'meeting_held' as source_activity,
        happened_at

    from engagement_meetings

),

deal_moments as (

    select
        hubspot_deal_id,
        'deal_opened' as source_activity,
        created_at as happened_at

    from deals

    where created_at is not null

    union all

    select
        deals.hubspot_deal_id,
        case when stages.is_won then 'deal_won' else 'deal_lost' end as source_activity,
        deals.closes_at as happened_at

    from deals

    inner join stages
        on deals.stage_id = stages.stage_id

    where
        stages.is_closed
        and deals.closes_at is not null

),

about_contacts as (

    select
        engagement_contacts.hubspot_contact_id,
        'hubspot.engagement:' || engagement_contacts.record_key as interaction_id,
        noted.channel,
        noted.source_activity,
        noted.happened_at,
        {{ json_object([['engagement_id', 'noted.engagement_id']]) }} as feature_json

    from noted

    inner join engagement_contacts
        on noted.engagement_id = engagement_contacts.engagement_id

    union all

    select
        deal_contacts.hubspot_contact_id,
        'hubspot.' || deal_moments.source_activity || ':' || deal_contacts.record_key
            as interaction_id,
        'crm' as channel,
        deal_moments.source_activity,
        deal_moments.happened_at,
        {{ json_object([['deal_id', 'deal_moments.hubspot_deal_id']]) }} as feature_json

    from deal_moments

    inner join deal_contacts
        on deal_moments.hubspot_deal_id = deal_contacts.hubspot_deal_id

),

hubspot_touches as (

    select
        'hubspot' as source,
        'contact' as table_name,
        hubspot_contact_id as record_key,
        interaction_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        happened_at as occurred_at,
        channel,
        source_activity,
        cast(null as {{ dbt.type_string() }}) as product_key,
        feature_json

    from about_contacts

)

select * from hubspot_touches
