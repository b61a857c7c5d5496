with

identity_overrides as (

    select * from {{ ref('identity_overrides') }}

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

),

-- Both ends spelled as identifiers are, so that a decision meets what it speaks of.
spelled as (

    select
        identity_overrides.action,
        identity_overrides.identifier_type,
        {{ spelled_identifier(
            'identity_overrides.identifier_type', 'identity_overrides.identifier_value'
        ) }} as identifier_value,
        identity_overrides.other_identifier_type,
        {{ spelled_identifier(
            'identity_overrides.other_identifier_type', 'identity_overrides.other_identifier_value'
        ) }} as other_identifier_value,
        identity_overrides.author,
        identity_overrides.reason,
        identity_overrides.decided_on,
        known_types.identifier_type is not null as is_known_type,
        other_known_types.identifier_type is not null as is_other_known_type

    from identity_overrides

    left join identifier_types as known_types
        on identity_overrides.identifier_type = known_types.identifier_type

    left join identifier_types as other_known_types
        on identity_overrides.other_identifier_type = other_known_types.identifier_type

),

keyed as (

    select
        *,
        {{ md5_bigint("coalesce(identifier_type, '') || '|' || coalesce(identifier_value, '')") }}
            as node_key,
        {{ md5_bigint(
            "coalesce(other_identifier_type, '') || '|' || coalesce(other_identifier_value, '')"
        ) }} as other_node_key,
        coalesce(action, 'no action')
        || ' ' || coalesce(identifier_type, 'no type')
        || ' ' || substr(coalesce(identifier_value, ''), 1, 3)
        || '… / ' || coalesce(other_identifier_type, 'no type')
        || ' ' || substr(coalesce(other_identifier_value, ''), 1, 3)
        || '… (' || coalesce(author, 'nobody')
        || ', ' || coalesce(cast(decided_on as {{ dbt.type_string() }}), 'no date')
        || ': ' || coalesce(reason, 'no reason') || ')' as override_name

    from spelled

),

paired as (

    select
        *,
        least(node_key, other_node_key) as node_a,
        greatest(node_key, other_node_key) as node_b,
        count(*) over (
            partition by least(node_key, other_node_key), greatest(node_key, other_node_key)
        ) as row_count

    from keyed

),

overrides as (

    select
        action,
        node_a,
        node_b,
        {{ md5_bigint(
            "'override|' || cast(node_a as " ~ dbt.type_string() ~ ") || '|' || cast(node_b as "
            ~ dbt.type_string() ~ ")"
        ) }} as override_key,
        override_name,
        author,
        reason,
        decided_on,
        case
            when action is null or action not in ('must_link', 'cannot_link')
                then 'the action is must_link or cannot_link'
            when not is_known_type or not is_other_known_type
                then 'its identifier type is not in seeds/identifier_types.csv'
            when identifier_value is null or other_identifier_value is null
                then 'an identifier is missing'
            when
                coalesce({{ trimmed('author') }}, '') = ''
                or coalesce({{ trimmed('reason') }}, '') = ''
                then 'say who decided and why (author, reason)'
            when node_a = node_b then 'both identifiers are the same'
            when row_count > 1 then 'the same pair stands in another row too'
        end as problem

    from paired

)

select * from overrides
