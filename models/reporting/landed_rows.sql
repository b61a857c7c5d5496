with

loads as (

    select * from {{ ref('stg_landing__loads') }}

),

landed_rows as (

    select
        source,
        cast(sum(landed_count) as bigint) as landed_count,
        cast(sum(loaded_count) as bigint) as loaded_count,
        cast(sum(rejected_count) as bigint) as rejected_count,
        cast(sum(duplicate_count) as bigint) as duplicate_count,
        cast(sum(suppressed_count) as bigint) as suppressed_count,
        cast(sum(case when status = 'refused' then 1 else 0 end) as bigint) as refused_file_count

    from loads

    group by 1

)

select * from landed_rows
