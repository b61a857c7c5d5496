-- RFM at every month end since the first order and on the build's day, recomputed from
-- orders. Scores keep ties together: 1 + floor(5 * percent rank), in whole numbers.
with

orders as (

    select * from {{ ref('orders') }}

    where
        customer_id is not null
        and ordered_at < {{ dbt.dateadd('day', 1, as_of_timestamp()) }}

),

order_range as (

    select
        coalesce(min(cast(ordered_at as date)), {{ as_of_date() }}) as first_date,
        {{ as_of_date() }} as last_date

    from orders

),

month_ends as (

    {{ month_ends('(select first_date from order_range)', '(select last_date from order_range)') }}

),

score_dates as (

    select cast(month_end as date) as as_of_date

    from month_ends

    where cast(month_end as date) < {{ as_of_date() }}

    union all

    select {{ as_of_date() }} as as_of_date

),

measured as (

    select
        score_dates.as_of_date,
        orders.customer_id,
        max(
            case when orders.is_revenue then cast(orders.ordered_at as date) end
        ) as last_order_date,
        sum(case when orders.is_revenue then 1 else 0 end) as frequency,
        sum(case
            when orders.is_revenue or orders.is_credit_note then orders.reporting_amount
            else 0
        end) as monetary

    from score_dates

    inner join orders
        on cast(orders.ordered_at as date) <= score_dates.as_of_date
        and {{ dbt.datediff('cast(orders.ordered_at as date)', 'score_dates.as_of_date', 'day') }}
        < {{ var('rfm_window_days') }}

    group by 1, 2

),

buyers as (

    select
        as_of_date,
        customer_id,
        {{ dbt.datediff(
            'last_order_date', 'as_of_date', 'day'
        ) }} as recency_days,
        frequency,
        cast(coalesce(monetary, 0) as decimal(18, 4)) as monetary

    from measured

    where frequency > 0

),

ranked as (

    select
        *,
        rank() over (
            partition by as_of_date
            order by recency_days desc
        ) as r_rank,
        rank() over (
            partition by as_of_date
            order by frequency asc
        ) as f_rank,
        rank() over (
            partition by as_of_date
            order by monetary asc
        ) as m_rank,
        count(*) over (partition by as_of_date) as buyer_count

    from buyers

),

scored as (

    select
        as_of_date,
        customer_id,
        cast(recency_days as bigint) as recency_days,
        cast(frequency as bigint) as frequency,
        monetary,
        {{ quintile('r_rank', 'buyer_count') }} as r_score,
        {{ quintile('f_rank', 'buyer_count') }} as f_score,
        {{ quintile('m_rank', 'buyer_count') }} as m_score

    from ranked

)

select * from scored
