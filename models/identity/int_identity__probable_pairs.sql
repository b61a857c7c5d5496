with

pairs as (

    select * from {{ ref('stg_matching__pairs') }}

),

ranked as (

    select * from {{ ref('int_identity__anchors') }}

    where is_active

),

people as (

    select node_a as node_key from pairs

    union

    select node_b as node_key from pairs

),

-- What each of them was named together with, itself included.
neighbours as (

    select
        node_key,
        node_key as neighbour_key

    from people

    union

    select
        people.node_key,
        others.node_key as neighbour_key

    from people

    inner join ranked as anchors
        on people.node_key = anchors.node_key
        and anchors.anchor_rank = 1

    inner join ranked as others
        on anchors.source = others.source
        and anchors.table_name = others.table_name
        and anchors.record_key = others.record_key

),

-- One identifier of both, or the one beside the other: an edge says so already.
joined_anyway as (

    select distinct
        pairs.node_a,
        pairs.node_b

    from pairs

    inner join neighbours as neighbours_a
        on pairs.node_a = neighbours_a.node_key

    inner join neighbours as neighbours_b
        on pairs.node_b = neighbours_b.node_key
        and neighbours_a.neighbour_key = neighbours_b.neighbour_key

),

probable_pairs as (

    select
        pairs.*,
        joined_anyway.node_a is not null as is_joined_anyway

    from pairs

    left join joined_anyway
        on pairs.node_a = joined_anyway.node_a
        and pairs.node_b = joined_anyway.node_b

)

select * from probable_pairs
