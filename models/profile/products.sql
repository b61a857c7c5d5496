with

shopify_products as (

    select * from {{ ref('stg_shopify__products') }}

    where not is_deleted

),

variants as (

    select * from {{ ref('stg_shopify__product_variants') }}

),

erp_lines as (

    select * from {{ ref('stg_erp__invoice_lines') }}

),

product_codes as (

    select * from {{ ref('product_codes') }}

),

variants_per_product as (

    select
        shopify_product_id,
        min(price) as price,
        sum(coalesce(inventory_quantity, 0)) > 0 as is_in_stock

    from variants

    group by 1

),

erp_sales as (

    select
        {{ upper_code('erp_lines.stock_code') }} as stock_code,
        erp_lines.product_name,
        erp_lines.unit_price,
        row_number() over (
            partition by {{ upper_code('erp_lines.stock_code') }}
            order by erp_lines.invoiced_at desc nulls last, erp_lines.record_key asc
        ) as sale_rank

    from erp_lines

    left join product_codes
        on product_codes.source = 'erp'
        and erp_lines.stock_code = product_codes.code

    where
        product_codes.code is null
        and erp_lines.unit_price > 0
        and erp_lines.quantity > 0

),

products as (

    select
        'shopify:' || shopify_products.shopify_product_id as product_id,
        'shopify' as source,
        shopify_products.product_name as name,
        shopify_products.category,
        shopify_products.brand,
        cast(variants_per_product.price as decimal(18, 4)) as price,
        coalesce(variants_per_product.is_in_stock, false) as is_in_stock,
        cast(null as {{ dbt.type_string() }}) as successor_product_id

    from shopify_products

    left join variants_per_product
        on shopify_products.shopify_product_id = variants_per_product.shopify_product_id

    union all

    select
        'erp:' || stock_code as product_id,
        'erp' as source,
        {{ trimmed('product_name') }} as name,
        cast(null as {{ dbt.type_string() }}) as category,
        cast(null as {{ dbt.type_string() }}) as brand,
        cast(unit_price as decimal(18, 4)) as price,
        true as is_in_stock,
        cast(null as {{ dbt.type_string() }}) as successor_product_id

    from erp_sales

    where sale_rank = 1

)

select * from products
