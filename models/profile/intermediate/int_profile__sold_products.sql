-- What was sold, by its last sale: a product that no master knows has no other row.
with

sold_lines as (

    select * from {{ ref('int_profile__sold_lines') }}

    where product_id is not null

),

orders as (

    select * from {{ ref('int_profile__orders_of_sources') }}

),

ranked as (

    select
        sold_lines.product_id,
        sold_lines.source,
        sold_lines.product_name,
        orders.currency,
        case when sold_lines.unit_price > 0 then sold_lines.unit_price end as unit_price,
        row_number() over (
            partition by sold_lines.product_id, sold_lines.source
            order by
                case
                    when sold_lines.unit_price > 0 and sold_lines.quantity > 0 then 1 else 2
                end asc,
                orders.ordered_at desc nulls last,
                sold_lines.order_line_id asc
        ) as sale_rank

    from sold_lines

    inner join orders
        on sold_lines.order_id = orders.order_id

)

select * from ranked

where sale_rank = 1
