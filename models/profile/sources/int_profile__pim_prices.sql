with

price_stock as (

    select * from {{ ref('stg_pim__price_stock') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by sku, price_date
            order by updated_at desc nulls last, record_key asc
        ) as spelling_rank

    from price_stock

),

pim_prices as (

    select
        'pim' as source,
        {{ var('product_sources')['pim'] }} as source_priority,
        sku as source_product_id,
        sku,
        price_date,
        price,
        currency,
        stock_quantity

    from ranked

    where spelling_rank = 1

)

select * from pim_prices
