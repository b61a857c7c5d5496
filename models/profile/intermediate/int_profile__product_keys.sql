-- The same article has a code in every system. What shares a stock keeping unit is one product,
-- named by the system that is asked first (source_priority); a master may also name another
-- system's code.
with

products as (

    select * from {{ ref('int_profile__products_of_sources') }}

),

masters as (

    select
        sku,
        source || ':' || source_product_id as product_id,
        row_number() over (
            partition by sku
            order by source_priority asc, source_product_id asc
        ) as master_rank

    from products

    where sku is not null

),

named as (

    select
        products.*,
        coalesce(
            masters.product_id,
            products.source || ':' || products.source_product_id
        ) as product_id

    from products

    left join masters
        on products.sku = masters.sku
        and masters.master_rank = 1

),

keys as (

    select
        'sku:' || sku as product_key,
        product_id,
        source_priority

    from named

    where sku is not null

    union all

    select
        source || ':' || source_product_id as product_key,
        product_id,
        source_priority

    from named

    union all

    select
        code_source || ':' || code as product_key,
        product_id,
        source_priority

    from named

    where code is not null

),

ranked as (

    select
        product_key,
        product_id,
        row_number() over (
            partition by product_key
            order by source_priority asc, product_id asc
        ) as key_rank

    from keys

)

select
    product_key,
    product_id

from ranked

where key_rank = 1
