-- Days on which nothing changed are no rows: each holds until the next. Where two systems tell a
-- product's price, the one asked first is believed.
with

prices_of_sources as (

    select * from {{ ref('int_profile__prices_of_sources') }}

    where price_date <= {{ as_of_date() }}

),

product_keys as (

    select * from {{ ref('int_profile__product_keys') }}

),

named as (

    select
        product_keys.product_id,
        prices_of_sources.*,
        min(prices_of_sources.source_priority) over (
            partition by product_keys.product_id
        ) as first_priority

    from prices_of_sources

    inner join product_keys
        on coalesce(
            'sku:' || prices_of_sources.sku,
            prices_of_sources.source || ':' || prices_of_sources.source_product_id
        ) = product_keys.product_key

),

days as (

    select
        product_id,
        price_date,
        min(price) as price,
        min(currency) as currency,
        sum(stock_quantity) as stock_quantity

    from named

    where source_priority = first_priority

    group by 1, 2

),

compared as (

    select
        *,
        row_number() over (
            partition by product_id
            order by price_date asc
        ) as day_number,
        lag(price) over (
            partition by product_id
            order by price_date asc
        ) as previous_price,
        lag(currency) over (
            partition by product_id
            order by price_date asc
        ) as previous_currency,
        lag(stock_quantity) over (
            partition by product_id
            order by price_date asc
        ) as previous_stock_quantity

    from days

),

changes as (

    select * from compared

    where
        day_number = 1
        or price <> previous_price
        or currency <> previous_currency
        or stock_quantity <> previous_stock_quantity
        or (stock_quantity is null) <> (previous_stock_quantity is null)

),

product_history as (

    select
        product_id,
        price_date as valid_from,
        coalesce(
            lead(price_date) over (
                partition by product_id
                order by price_date asc
            ),
            {{ end_of_time() }}
        ) as valid_to,
        cast(price as decimal(18, 4)) as price,
        currency,
        cast(stock_quantity as bigint) as stock_quantity,
        coalesce(stock_quantity > 0, true) as is_in_stock,
        lead(price_date) over (
            partition by product_id
            order by price_date asc
        ) is null as is_current

    from changes

)

select * from product_history
