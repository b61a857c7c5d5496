with

scored as (

    select * from {{ ref('int_metrics__rfm_by_date') }}

),

rfm_segments as (

    select * from {{ ref('rfm_segments') }}

),

named as (

    select
        scored.customer_id,
        scored.as_of_date,
        scored.recency_days,
        scored.frequency,
        scored.monetary,
        scored.r_score,
        scored.f_score,
        scored.m_score,
        concat_ws(
            '-',
            cast(scored.r_score as {{ dbt.type_string() }}),
            cast(scored.f_score as {{ dbt.type_string() }}),
            cast(scored.m_score as {{ dbt.type_string() }})
        ) as rfm_score,
        rfm_segments.rfm_segment

    from scored

    inner join rfm_segments
        on scored.r_score = rfm_segments.r_score
        and scored.f_score = rfm_segments.f_score

),

customer_rfm_history as (

    select
        *,
        lag(rfm_segment) over (
            partition by customer_id
            order by as_of_date asc
        ) as previous_rfm_segment

    from named

)

select * from customer_rfm_history
