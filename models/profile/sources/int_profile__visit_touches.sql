-- A visit to the site or app begins as a touch of its own, whose is told by its first event.
with

visit_origins as (

    select * from {{ ref('int_profile__visit_origins') }}

),

visit_touches as (

    select
        'web' as source,
        'events' as table_name,
        first_record_key as record_key,
        'web.visit:' || first_record_key as interaction_id,
        anonymous_id,
        started_at as occurred_at,
        case when device = 'app' then 'app' else 'web' end as channel,
        'visit_started' as source_activity,
        cast(null as {{ dbt.type_string() }}) as product_key,
        {{ json_object([
            ['session_id', 'session_id'],
            ['entry_page', 'entry_page'],
            ['campaign', 'campaign'],
        ]) }} as feature_json

    from visit_origins

)

select * from visit_touches
