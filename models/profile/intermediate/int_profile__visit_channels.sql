-- What brought a visit, by the first rule of the seed that fits; where none does it came by itself.
with

visits as (

    select * from {{ ref('int_profile__visit_origins') }}

),

channel_groups as (

    select * from {{ ref('channel_groups') }}

),

visit_values as (

    select
        session_id,
        'origin' as field,
        origin as field_value

    from visits

    union all

    select
        session_id,
        'network' as field,
        network as field_value

    from visits

    union all

    select
        session_id,
        'referrer' as field,
        referrer_host as field_value

    from visits

),

values_seen as (

    select distinct
        field,
        field_value

    from visit_values

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

first_rules as (

    select
        visit_values.session_id,
        min(fitting.precedence) as precedence

    from visit_values

    left join fitting
        on visit_values.field = fitting.field
        and visit_values.field_value = fitting.field_value

    group by 1

)

select
    first_rules.session_id,
    coalesce(channel_groups.channel_group, 'direct') as channel_group

from first_rules

left join channel_groups
    on first_rules.precedence = channel_groups.precedence
