with

products as (

    select * from {{ ref('stg_shopify__products') }}

),

variants as (

    select * from {{ ref('stg_shopify__product_variants') }}

),

variants_per_sku as (

    select
        shopify_product_id,
        sku,
        min(price) as price,
        sum(coalesce(inventory_quantity, 0)) > 0 as is_in_stock

    from variants

    group by 1, 2

),

shopify_products as (

    select
        'shopify' as source,
        {{ var('product_sources')['shopify'] }} as source_priority,
        products.shopify_product_id as source_product_id,
        variants_per_sku.sku,
        cast(null as {{ dbt.type_string() }}) as code_source,
        cast(null as {{ dbt.type_string() }}) as code,
        products.product_name as name,
        products.category,
        products.brand,
        variants_per_sku.price,
        '{{ source_currency("shopify") }}' as currency,
        coalesce(variants_per_sku.is_in_stock, false) as is_in_stock,
        cast(null as {{ dbt.type_string() }}) as season,
        cast(null as {{ dbt.type_string() }}) as successor_sku,
        not products.is_deleted as is_active

    from products

    left join variants_per_sku
        on products.shopify_product_id = variants_per_sku.shopify_product_id

)

select * from shopify_products
