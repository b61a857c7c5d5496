-- What brought a visit, by the first rule of the seed that fits; where none does it came by itself.
with

visits as (

    select * from {{ ref('int_profile__visit_origins') }}

),

channel_groups as (

    select * from {{ ref('channel_groups') }}

),

values_seen as (

    select distinct
        'origin' as field,
        origin as field_value

    from visits

    union

    select distinct
        'network' as field,
        network as field_value

    from visits

    union

    select distinct
        'referrer' as field,
        referrer_host as field_value

    from visits

),

fitting as (

    select
        values_seen.field,
        values_seen.field_value,
        min(channel_groups.precedence) as precedence

    from values_seen

    inner join channel_groups
        on values_seen.field = channel_groups.field
        and {{ matches('values_seen.field_value', 'channel_groups.pattern') }}

    group by 1, 2

),

precedences as (

    select
        visits.session_id,
        least(
            coalesce(origins.precedence, 1000),
            coalesce(networks.precedence, 1000),
            coalesce(referrers.precedence, 1000)
        ) as precedence

    from visits

    left join fitting as origins
        on origins.field = 'origin'
        and visits.origin = origins.field_value

    left join fitting as networks
        on networks.field = 'network'
        and visits.network = networks.field_value

    left join fitting as referrers
        on referrers.field = 'referrer'
        and visits.referrer_host = referrers.field_value

)

select
    precedences.session_id,
    coalesce(channel_groups.channel_group, 'direct') as channel_group

from precedences

left join channel_groups
    on precedences.precedence = channel_groups.precedence
