with

memberships as (

    select * from {{ ref('audience_memberships') }}

),

audience_sizes as (

    select
        audience,
        sum(case when is_current then 1 else 0 end) as member_count,
        sum(case when is_current and entered_at = {{ as_of_timestamp() }} then 1 else 0 end) as entered_count,
        sum(case when exited_at = {{ as_of_timestamp() }} then 1 else 0 end) as exited_count

    from memberships

    group by 1

)

select * from audience_sizes
