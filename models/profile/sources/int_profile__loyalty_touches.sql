-- A coupon is a touch when it is given and once more when it is used.
with

coupons as (

    select * from {{ ref('stg_loyalty__coupons') }}

),

points_ledger as (

    select * from {{ ref('stg_loyalty__points_ledger') }}

),

moments as (

    select
        'points_ledger' as table_name,
        record_key,
        'loyalty.points_ledger:' || record_key as interaction_id,
        occurred_at,
        entry_type as source_activity,
        {{ json_object([['points', 'points_moved'], ['reference', 'reference_id']]) }}
            as feature_json

    from points_ledger

    union all

    select
        'coupons' as table_name,
        record_key,
        'loyalty.coupon_issued:' || record_key as interaction_id,
        issued_at as occurred_at,
        'coupon_issued' as source_activity,
        {{ json_object([['coupon_id', 'coupon_id'], ['campaign', 'campaign']]) }} as feature_json

    from coupons

    union all

    select
        'coupons' as table_name,
        record_key,
        'loyalty.coupon_redeemed:' || record_key as interaction_id,
        redeemed_at as occurred_at,
        'coupon_redeemed' as source_activity,
        {{ json_object([['coupon_id', 'coupon_id'], ['campaign', 'campaign']]) }} as feature_json

    from coupons

    where redeemed_at is not null

),

loyalty_touches as (

    select
        'loyalty' as source,
        table_name,
        record_key,
        interaction_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        occurred_at,
        'loyalty' as channel,
        source_activity,
        cast(null as {{ dbt.type_string() }}) as product_key,
        feature_json

    from moments

)

select * from loyalty_touches
