-- Every touch with its customer and the platform's name for it; orders come with their money.
with

touches as (

    select * from {{ ref('int_profile__touches_of_sources') }}

),

orders as (

    select * from {{ ref('orders') }}

),

record_customers as (

    select * from {{ ref('record_customers') }}

),

activity_names as (

    select * from {{ ref('activity_names') }}

),

product_keys as (

    select * from {{ ref('int_profile__product_keys') }}

),

source_interactions as (

    select
        touches.interaction_id,
        record_customers.customer_id,
        touches.anonymous_id,
        touches.occurred_at,
        touches.channel,
        coalesce(
            activity_names.activity,
            nullif(nullif({{ snake_case('touches.source_activity') }}, '_'), ''),
            touches.source || '_event'
        ) as activity,
        touches.source,
        cast(null as {{ dbt.type_string() }}) as order_id,
        coalesce(product_keys.product_id, touches.product_key) as product_id,
        cast(null as decimal(18, 4)) as revenue_amount,
        touches.feature_json

    from touches

    left join record_customers
        on touches.source = record_customers.source
        and touches.table_name = record_customers.table_name
        and touches.record_key = record_customers.record_key

    left join activity_names
        on touches.source = activity_names.source
        and touches.source_activity = activity_names.source_activity

    left join product_keys
        on touches.product_key = product_keys.product_key

    union all

    select
        'order:' || order_id as interaction_id,
        customer_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        ordered_at as occurred_at,
        channel,
        case when is_credit_note then 'order_credited' else 'order_placed' end as activity,
        source,
        order_id,
        cast(null as {{ dbt.type_string() }}) as product_id,
        reporting_amount as revenue_amount,
        {{ json_object([['order_id', 'order_id'], ['currency', 'currency']]) }} as feature_json

    from orders

)

select * from source_interactions
