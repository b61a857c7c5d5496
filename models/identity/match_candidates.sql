with

pairs as (

    select * from {{ ref('int_identity__probable_pairs') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

components as (

    select * from {{ ref('identity_components') }}

),

overrides as (

    select * from {{ ref('int_identity__overrides') }}

),

probable_edges as (

    select * from {{ ref('identity_edges') }}

    where edge_type = 'probable'

),

candidates as (

    select
        pairs.node_a,
        pairs.node_b,
        identifier_a.identifier_type,
        identifier_a.identifier_value,
        identifier_b.identifier_type as other_identifier_type,
        identifier_b.identifier_value as other_identifier_value,
        pairs.match_weight,
        pairs.match_probability,
        pairs.matched_on,
        coalesce(component_a.component_key = component_b.component_key, false) as is_one_customer,
        case
            when overrides.action = 'must_link' then 'accepted by a person'
            when overrides.action = 'cannot_link' then 'refused by a person'
            when probable_edges.status = 'refused'
                then 'refused: ' || probable_edges.status_reason
            when probable_edges.status = 'active' then 'admitted'
            when component_a.component_key = component_b.component_key and pairs.is_joined_anyway
                then 'joined by an identifier'
            -- What both have may not join others with them, nor these two then.
            when pairs.is_joined_anyway then 'refused with an identifier of both'
            when pairs.match_probability < {{ var('probable_match_threshold') }}
                then 'below the threshold'
            else 'an identifier is not active'
        end as decision

    from pairs

    inner join identifiers as identifier_a
        on pairs.node_a = identifier_a.node_key

    inner join identifiers as identifier_b
        on pairs.node_b = identifier_b.node_key

    left join components as component_a
        on pairs.node_a = component_a.node_key

    left join components as component_b
        on pairs.node_b = component_b.node_key

    left join overrides
        on pairs.node_a = overrides.node_a
        and pairs.node_b = overrides.node_b

    left join probable_edges
        on pairs.node_a = probable_edges.node_a
        and pairs.node_b = probable_edges.node_b

)

select * from candidates
