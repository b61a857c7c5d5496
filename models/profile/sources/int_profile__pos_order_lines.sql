-- Lines of a return that stands as a credit note count below zero; of one that is money back on its
-- sale they are taken back there, by the code that was scanned, from its first line on.
with

receipt_lines as (

    select * from {{ ref('stg_pos__receipt_lines') }}

),

receipts as (

    select * from {{ ref('stg_pos__receipts') }}

),

pos_orders as (

    select * from {{ ref('int_profile__pos_orders') }}

),

lines_of_receipts as (

    select
        receipt_lines.record_key,
        receipt_lines.receipt_id,
        receipt_lines.line_no,
        receipt_lines.sku,
        receipt_lines.product_name,
        receipt_lines.quantity,
        receipt_lines.unit_price,
        receipts.receipt_type,
        receipts.original_receipt_id,
        receipt_lines.quantity * receipt_lines.unit_price
        - coalesce(receipt_lines.discount_amount, 0) as line_amount

    from receipt_lines

    inner join receipts
        on receipt_lines.receipt_id = receipts.receipt_id

),

taken_back as (

    select
        original_receipt_id,
        sku,
        sum(quantity) as returned_quantity,
        sum(line_amount) as returned_amount

    from lines_of_receipts

    where receipt_type = 'return'

    group by 1, 2

),

numbered as (

    select
        *,
        'pos:' || receipt_id as order_id,
        case when receipt_type = 'return' then -1 else 1 end as sign,
        coalesce(sum(quantity) over (
            partition by receipt_id, sku
            order by line_no asc, record_key asc
            rows between unbounded preceding and 1 preceding
        ), 0) as quantity_before,
        coalesce(sum(line_amount) over (
            partition by receipt_id, sku
            order by line_no asc, record_key asc
            rows between unbounded preceding and 1 preceding
        ), 0) as amount_before

    from lines_of_receipts

),

pos_order_lines as (

    select
        'pos:' || numbered.record_key as order_line_id,
        numbered.order_id,
        'pos' as source,
        numbered.sku as source_product_id,
        numbered.sku,
        numbered.product_name,
        'product' as line_type,
        numbered.sign * numbered.quantity as quantity,
        numbered.unit_price,
        numbered.sign * numbered.line_amount as line_amount,
        case
            when numbered.receipt_type = 'sale'
                then least(
                    greatest(
                        coalesce(taken_back.returned_quantity, 0) - numbered.quantity_before, 0
                    ),
                    numbered.quantity
                )
            else 0
        end as refunded_quantity,
        case
            when numbered.receipt_type = 'sale'
                then least(
                    greatest(
                        coalesce(taken_back.returned_amount, 0) - numbered.amount_before, 0
                    ),
                    numbered.line_amount
                )
            else 0
        end as refunded_amount

    from numbered

    inner join pos_orders
        on numbered.order_id = pos_orders.order_id

    left join taken_back
        on numbered.receipt_id = taken_back.original_receipt_id
        and numbered.sku = taken_back.sku

)

select * from pos_order_lines
