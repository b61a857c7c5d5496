-- A variant's price and stock at the end of each day on which it changed.
with

variants as (

    select * from {{ ref('stg_shopify__product_variants_versions') }}

    where updated_at is not null

),

ranked as (

    select
        *,
        cast(updated_at as date) as price_date,
        row_number() over (
            partition by shopify_variant_id, cast(updated_at as date)
            order by updated_at desc, synced_at desc nulls last, content_hash desc
        ) as version_rank

    from variants

),

shopify_prices as (

    select
        'shopify' as source,
        {{ var('product_sources')['shopify'] }} as source_priority,
        shopify_product_id as source_product_id,
        sku,
        price_date,
        min(price) as price,
        '{{ source_currency("shopify") }}' as currency,
        sum(inventory_quantity) as stock_quantity

    from ranked

    where
        version_rank = 1
        and price is not null

    group by 1, 2, 3, 4, 5

)

select * from shopify_prices
