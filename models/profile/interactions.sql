with

source_interactions as (

    select * from {{ ref('int_profile__source_interactions') }}

),

main_products as (

    select * from {{ ref('int_profile__main_products') }}

),

known as (

    select
        source_interactions.*,
        main_products.product_id as purchased_product_id,
        coalesce(
            source_interactions.customer_id,
            'anonymous:' || source_interactions.anonymous_id,
            source_interactions.interaction_id
        ) as actor

    from source_interactions

    left join main_products
        on source_interactions.order_id = main_products.order_id

),

counted as (

    select
        *,
        cast(row_number() over (
            partition by actor, activity
            order by occurred_at asc nulls last, interaction_id asc
        ) as bigint) as activity_occurrence,
        lag(occurred_at) over (
            partition by actor, activity
            order by occurred_at asc nulls last, interaction_id asc
        ) as previous_occurred_at,
        lead(occurred_at) over (
            partition by actor, activity
            order by occurred_at asc nulls last, interaction_id asc
        ) as activity_repeated_at,
        count(purchased_product_id) over (
            partition by actor
            order by occurred_at asc nulls last, interaction_id asc
            rows between unbounded preceding and current row
        ) as purchase_number

    from known

),

purchases as (

    select
        actor,
        purchase_number,
        purchased_product_id

    from counted

    where purchased_product_id is not null

),

interactions as (

    select
        counted.interaction_id,
        counted.customer_id,
        counted.anonymous_id,
        counted.occurred_at,
        counted.channel,
        counted.activity,
        counted.source,
        counted.product_id,
        counted.revenue_amount,
        counted.feature_json,
        counted.activity_occurrence,
        counted.activity_repeated_at,
        cast(
            {{ seconds_between('counted.previous_occurred_at', 'counted.occurred_at') }} as bigint
        ) as seconds_since_previous,
        purchases.purchased_product_id as previous_product_id

    from counted

    left join purchases
        on counted.actor = purchases.actor
        and counted.purchase_number
        - case when counted.purchased_product_id is null then 0 else 1 end
        = purchases.purchase_number

)

select * from interactions
