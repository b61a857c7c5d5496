with

products as (

    select * from {{ ref('stg_pim__products') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by sku
            order by updated_at desc nulls last, record_key asc
        ) as spelling_rank

    from products

),

pim_products as (

    select
        'pim' as source,
        {{ var('product_sources')['pim'] }} as source_priority,
        sku as source_product_id,
        sku,
        'erp' as code_source,
        erp_stock_code as code,
        product_name as name,
        category,
        brand,
        list_price as price,
        currency,
        cast(null as boolean) as is_in_stock,
        season,
        successor_sku,
        not is_deleted as is_active

    from ranked

    where spelling_rank = 1

)

select * from pim_products
