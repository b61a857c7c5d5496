{# A field is the first source's that has it; price and currency go together. #}
{%- set fields = [
    'name', 'category', 'brand', 'price', 'season', 'successor_sku', 'is_in_stock',
] -%}
with

known_products as (

    select * from {{ ref('int_profile__products_of_sources') }}

),

product_keys as (

    select * from {{ ref('int_profile__product_keys') }}

),

sold_products as (

    select * from {{ ref('int_profile__sold_products') }}

),

product_history as (

    select * from {{ ref('product_history') }}

    where is_current

),

stated as (

    select
        product_keys.product_id,
        known_products.source,
        known_products.source_priority,
        known_products.source_product_id,
        known_products.sku,
        known_products.name,
        known_products.category,
        known_products.brand,
        known_products.price,
        known_products.currency,
        known_products.season,
        known_products.successor_sku,
        known_products.is_in_stock,
        known_products.is_active

    from known_products

    inner join product_keys
        on coalesce(
            'sku:' || known_products.sku,
            known_products.source || ':' || known_products.source_product_id
        ) = product_keys.product_key

    union all

    select
        product_id,
        source,
        {{ var('product_sources')['last_sale'] }} as source_priority,
        source as source_product_id,
        cast(null as {{ dbt.type_string() }}) as sku,
        {{ trimmed('product_name') }} as name,
        cast(null as {{ dbt.type_string() }}) as category,
        cast(null as {{ dbt.type_string() }}) as brand,
        unit_price as price,
        currency,
        cast(null as {{ dbt.type_string() }}) as season,
        cast(null as {{ dbt.type_string() }}) as successor_sku,
        cast(null as boolean) as is_in_stock,
        true as is_active

    from sold_products

),

ranked as (

    select
        *,
        row_number() over (
            partition by product_id
            order by
                source_priority asc,
                source asc,
                source_product_id asc,
                sku asc nulls last
        ) as statement_rank

    from stated

),

places as (

    select
        {% for field in fields %}
        {{ first_place(field, 'statement_rank', 'product_id') }} as {{ field }}_rank,
        {% endfor %}
        *

    from ranked

),

merged as (

    select
        product_id,
        max(case when statement_rank = 1 then source end) as source,
        {% for field in fields %}
        {% if field == 'is_in_stock' %}
        max(case when statement_rank = is_in_stock_rank and is_in_stock then 1 else 0 end) = 1
        or min(is_in_stock_rank) is null as is_in_stock,
        {% else %}
        max(case when statement_rank = {{ field }}_rank then {{ field }} end) as {{ field }},
        {% endif %}
        {% endfor %}
        max(case when statement_rank = price_rank then currency end) as currency,
        max(case when statement_rank = 1 and is_active then 1 else 0 end) = 1 as is_active

    from places

    group by 1

),

products as (

    select
        merged.product_id,
        merged.source,
        merged.name,
        merged.category,
        merged.brand,
        merged.season,
        cast(coalesce(product_history.price, merged.price) as decimal(18, 4)) as price,
        coalesce(product_history.currency, merged.currency) as currency,
        coalesce(product_history.is_in_stock, merged.is_in_stock) as is_in_stock,
        merged.is_active,
        successors.product_id as successor_product_id

    from merged

    left join product_history
        on merged.product_id = product_history.product_id

    left join product_keys as successors
        on 'sku:' || merged.successor_sku = successors.product_key

)

select * from products
