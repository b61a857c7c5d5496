with

audiences as (

    select * from {{ ref('audiences') }}

),

memberships as (

    select * from {{ ref('audience_memberships') }}

),

sizes as (

    select
        audience,
        sum(case when is_current then 1 else 0 end) as member_count,
        sum(
            case when is_current and entered_at = {{ as_of_timestamp() }} then 1 else 0 end
        ) as entered_count,
        sum(case when exited_at = {{ as_of_timestamp() }} then 1 else 0 end) as exited_count

    from memberships

    group by 1

),

audience_sizes as (

    select
        audiences.audience,
        cast(coalesce(sizes.member_count, 0) as bigint) as member_count,
        cast(coalesce(sizes.entered_count, 0) as bigint) as entered_count,
        cast(coalesce(sizes.exited_count, 0) as bigint) as exited_count

    from audiences

    left join sizes
        on audiences.audience = sizes.audience

)

select * from audience_sizes
