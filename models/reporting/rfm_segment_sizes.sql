with

customer_rfm_history as (

    select * from {{ ref('customer_rfm_history') }}

),

rfm_segment_sizes as (

    select
        as_of_date,
        rfm_segment,
        count(*) as customer_count,
        cast(sum(monetary) as decimal(18, 4)) as monetary,
        {{ average('recency_days') }} as average_recency_days

    from customer_rfm_history

    group by 1, 2

)

select * from rfm_segment_sizes
