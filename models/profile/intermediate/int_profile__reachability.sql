with

signals as (

    select * from {{ ref('int_profile__contact_point_signals') }}

    where
        reachability is not null
        and occurred_at < {{ dbt.dateadd('day', 1, as_of_timestamp()) }}

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
                source asc,
                event_key asc
        ) as signal_rank

    from signals

)

select
    contact_point_type,
    contact_point,
    reachability,
    occurred_at,
    source

from ranked

where signal_rank = 1
