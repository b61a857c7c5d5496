with

invoice_lines as (

    select * from {{ ref('stg_erp__invoice_lines') }}

),

product_codes as (

    select * from {{ ref('product_codes') }}

    where source = 'erp'

),

erp_order_lines as (

    select
        'erp:' || invoice_lines.record_key as order_line_id,
        'erp:' || invoice_lines.invoice_no as order_id,
        'erp' as source,
        case
            when product_codes.code is null then {{ upper_code('invoice_lines.stock_code') }}
        end as source_product_id,
        cast(null as {{ dbt.type_string() }}) as sku,
        invoice_lines.product_name,
        case
            when invoice_lines.invoice_no like 'A%' then 'bad_debt'
            when product_codes.code is not null then product_codes.line_type
            when invoice_lines.quantity <= 0 and invoice_lines.invoice_no not like 'C%'
                then 'stock_correction'
            else 'product'
        end as line_type,
        invoice_lines.quantity,
        invoice_lines.unit_price,
        invoice_lines.quantity * invoice_lines.unit_price as line_amount,
        0 as refunded_quantity,
        cast(0 as decimal(18, 4)) as refunded_amount

    from invoice_lines

    left join product_codes
        on invoice_lines.stock_code = product_codes.code

)

select * from erp_order_lines
