-- Each receipt is a visit to the store; a return that names its sale also gives money back.
with

receipts as (

    select * from {{ ref('stg_pos__receipts') }}

),

pos_touches as (

    select
        'pos' as source,
        'receipts' as table_name,
        record_key,
        'pos.receipts:' || record_key as interaction_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        issued_at as occurred_at,
        'store' as channel,
        'store_visited' as source_activity,
        cast(null as {{ dbt.type_string() }}) as product_key,
        {{ json_object([['store_id', 'store_id'], ['receipt_type', 'receipt_type']]) }}
            as feature_json

    from receipts

    union all

    select
        'pos' as source,
        'receipts' as table_name,
        returned.record_key,
        'pos.return:' || returned.record_key as interaction_id,
        cast(null as {{ dbt.type_string() }}) as anonymous_id,
        returned.issued_at as occurred_at,
        'store' as channel,
        'order_refunded' as source_activity,
        cast(null as {{ dbt.type_string() }}) as product_key,
        {{ json_object([['order_id', "'pos:' || sales.receipt_id"]]) }} as feature_json

    from receipts as returned

    inner join receipts as sales
        on returned.original_receipt_id = sales.receipt_id
        and sales.receipt_type = 'sale'

    where returned.receipt_type = 'return'

)

select * from pos_touches
