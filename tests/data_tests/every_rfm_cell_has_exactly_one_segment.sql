with

scores as (

    select 1 as score
    union all
    select 2 as score
    union all
    select 3 as score
    union all
    select 4 as score
    union all
    select 5 as score

),

cells as (

    select
        recency.score as r_score,
        frequency.score as f_score

    from scores as recency

    cross join scores as frequency

)

select
    cells.r_score,
    cells.f_score

from cells

left join {{ ref('rfm_segments') }} as rfm_segments
    on cells.r_score = rfm_segments.r_score
    and cells.f_score = rfm_segments.f_score

group by 1, 2

having count(rfm_segments.rfm_segment) <> 1
