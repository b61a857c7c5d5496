with

source_interactions as (

    select * from {{ ref('int_profile__source_interactions') }}

),

interactions as (

    select
        interaction_id,
        customer_id,
        anonymous_id,
        occurred_at,
        channel,
        activity,
        source,
        revenue_amount,
        feature_json,
        cast(row_number() over (
            partition by
                coalesce(customer_id, 'anonymous:' || anonymous_id, interaction_id),
                activity
            order by occurred_at asc nulls last, interaction_id asc
        ) as bigint) as activity_occurrence

    from source_interactions

)

select * from interactions
