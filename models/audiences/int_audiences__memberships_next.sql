with

members as (

    select * from {{ ref('int_audiences__members') }}

),

audiences as (

    select * from {{ ref('audiences') }}

),

customer_redirects as (

    select * from {{ ref('customer_redirects') }}

),

previous_memberships as (

    select * from {{ ref('int_audiences__previous_memberships') }}

),

-- Memberships as they stood before this day: another build of the day is replaced.
before_today as (

    select
        audience,
        customer_id,
        entered_at,
        case when exited_at = {{ as_of_timestamp() }} then null else exited_at end as exited_at,
        case when exited_at = {{ as_of_timestamp() }} then null else exit_reason end as exit_reason,
        rule_version

    from previous_memberships

    where entered_at < {{ as_of_timestamp() }}

),

kept as (

    select
        before_today.audience,
        before_today.customer_id,
        before_today.entered_at,
        case
            when before_today.exited_at is not null then before_today.exited_at
            when members.customer_id is null then {{ as_of_timestamp() }}
        end as exited_at,
        case
            when before_today.exited_at is not null then before_today.exit_reason
            when members.customer_id is not null then null
            when audiences.audience is null then 'segment_retired'
            when customer_redirects.reason in ('merged', 'retired') then customer_redirects.reason
            else 'rule'
        end as exit_reason,
        before_today.rule_version

    from before_today

    left join members
        on before_today.audience = members.audience
        and before_today.customer_id = members.customer_id

    left join audiences
        on before_today.audience = audiences.audience

    left join customer_redirects
        on before_today.customer_id = customer_redirects.customer_id

),

entered as (

    select
        members.audience,
        members.customer_id,
        {{ as_of_timestamp() }} as entered_at,
        cast(null as timestamp) as exited_at,
        cast(null as {{ dbt.type_string() }}) as exit_reason,
        members.rule_version

    from members

    left join before_today
        on members.audience = before_today.audience
        and members.customer_id = before_today.customer_id
        and before_today.exited_at is null

    where before_today.customer_id is null

),

memberships_next as (

    select * from kept

    union all

    select * from entered

)

select * from memberships_next
