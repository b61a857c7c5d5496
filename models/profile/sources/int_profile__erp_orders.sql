-- An invoice is an order; a credit note (C…) is an order of its own with the money given
-- back; a bad debt (A…) is neither. See DECISIONS.
with

invoice_lines as (

    select * from {{ ref('stg_erp__invoice_lines') }}

),

invoices as (

    select
        invoice_no,
        min(record_key) as record_key,
        min(case when erp_customer_no is not null then record_key end) as customer_record_key,
        min(invoiced_at) as ordered_at,
        sum(quantity * unit_price) as invoice_amount

    from invoice_lines

    group by 1

),

erp_orders as (

    select
        'erp:' || invoice_no as order_id,
        'erp' as source,
        'invoice_lines' as table_name,
        coalesce(customer_record_key, record_key) as record_key,
        'invoice' as channel,
        cast(null as {{ dbt.type_string() }}) as store_id,
        ordered_at,
        case when invoice_no like 'C%' then 0 else invoice_amount end as order_amount,
        case when invoice_no like 'C%' then -invoice_amount else 0 end as refunded_amount,
        cast(0 as decimal(18, 4)) as points_amount,
        cast(null as decimal(18, 4)) as tax_amount,
        cast(null as decimal(18, 4)) as shipping_amount,
        '{{ source_currency("erp") }}' as currency,
        'invoice' as payment_method,
        invoice_no like 'C%' as is_cancelled,
        invoice_no like 'C%' as is_credit_note,
        invoice_no not like 'C%' and invoice_no not like 'A%' and invoice_amount > 0 as is_revenue,
        cast(null as boolean) as is_gift

    from invoices

)

select * from erp_orders
