with

signals as (

    select * from {{ ref('int_profile__contact_point_signals') }}

    where
        reachability is not null
        and occurred_at < {{ dbt.dateadd('day', 1, as_of_timestamp()) }}

),

newest as (

    select
        contact_point_type,
        contact_point,
        reachability,
        source,
        max(occurred_at) as occurred_at

    from signals

    group by 1, 2, 3, 4

),

-- The newest word of a tool; of two in one second the worse.
ranked as (

    select
        *,
        row_number() over (
            partition by contact_point_type, contact_point
            order by
                {{ dbt.date_trunc('second', 'occurred_at') }} desc,
                case reachability when 'blocked' then 1 when 'bounced' then 2 else 3 end asc,
                source asc
        ) as signal_rank

    from newest

)

select
    contact_point_type,
    contact_point,
    reachability,
    occurred_at,
    source

from ranked

where signal_rank = 1
