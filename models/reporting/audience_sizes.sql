with

memberships as (

    select * from {{ ref('audience_memberships') }}

),

audience_sizes as (

    select
        audience,
        cast(sum(case when is_current then 1 else 0 end) as bigint) as member_count,
        cast(sum(
            case when is_current and entered_at = {{ as_of_timestamp() }} then 1 else 0 end
        ) as bigint) as entered_count,
        cast(sum(
            case when exited_at = {{ as_of_timestamp() }} then 1 else 0 end
        ) as bigint) as exited_count

    from memberships

    group by 1

)

select * from audience_sizes
