-- A return that names its sale is money given back on that sale; one that names none, or one that
-- has not landed, is a credit note until it has.
with

receipts as (

    select * from {{ ref('stg_pos__receipts') }}

),

sales as (

    select * from receipts

    where receipt_type = 'sale'

),

returns as (

    select
        receipts.*,
        sales.receipt_id as sale_receipt_id

    from receipts

    left join sales
        on receipts.original_receipt_id = sales.receipt_id

    where receipts.receipt_type = 'return'

),

returns_per_sale as (

    select
        sale_receipt_id,
        sum(total_amount) as returned_amount

    from returns

    where sale_receipt_id is not null

    group by 1

),

pos_orders as (

    select
        'pos:' || sales.receipt_id as order_id,
        'pos' as source,
        'receipts' as table_name,
        sales.record_key,
        'store' as channel,
        sales.store_id,
        sales.issued_at as ordered_at,
        sales.total_amount as order_amount,
        coalesce(returns_per_sale.returned_amount, 0) as refunded_amount,
        coalesce(sales.points_amount, 0) as points_amount,
        sales.tax_amount,
        cast(0 as decimal(18, 4)) as shipping_amount,
        sales.currency,
        sales.payment_method,
        false as is_cancelled,
        false as is_credit_note,
        sales.total_amount > 0 as is_revenue,
        cast(null as boolean) as is_gift

    from sales

    left join returns_per_sale
        on sales.receipt_id = returns_per_sale.sale_receipt_id

    union all

    select
        'pos:' || receipt_id as order_id,
        'pos' as source,
        'receipts' as table_name,
        record_key,
        'store' as channel,
        store_id,
        issued_at as ordered_at,
        cast(0 as decimal(18, 4)) as order_amount,
        total_amount as refunded_amount,
        cast(0 as decimal(18, 4)) as points_amount,
        tax_amount,
        cast(0 as decimal(18, 4)) as shipping_amount,
        currency,
        payment_method,
        false as is_cancelled,
        true as is_credit_note,
        false as is_revenue,
        cast(null as boolean) as is_gift

    from returns

    where sale_receipt_id is null

)

select * from pos_orders
