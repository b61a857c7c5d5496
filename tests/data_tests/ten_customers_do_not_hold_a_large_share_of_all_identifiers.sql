{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'identity_run_metrics'}}}) }}
with

last_build as (

    select max(build_number) as build_number from {{ ref('identity_run_metrics') }}

)

select
    metrics.build_number,
    metrics.top_ten_share

from {{ ref('identity_run_metrics') }} as metrics

inner join last_build
    on metrics.build_number = last_build.build_number

where
    metrics.customer_count >= 1000
    and metrics.top_ten_share > {{ var('identity_top_ten_share') }}
