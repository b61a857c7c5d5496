-- Each line of an order that counts, with its product: by the code that was sold, else by the
-- selling system's own.
with

lines_of_sources as (

    select * from {{ ref('int_profile__order_lines_of_sources') }}

),

product_keys as (

    select * from {{ ref('int_profile__product_keys') }}

),

sold_lines as (

    select
        lines_of_sources.*,
        coalesce(
            products_of_skus.product_id,
            products_of_codes.product_id,
            lines_of_sources.source || ':' || lines_of_sources.source_product_id
        ) as product_id

    from lines_of_sources

    left join product_keys as products_of_skus
        on 'sku:' || lines_of_sources.sku = products_of_skus.product_key

    left join product_keys as products_of_codes
        on lines_of_sources.source || ':' || lines_of_sources.source_product_id
        = products_of_codes.product_key

)

select * from sold_lines
