{# Bridges: edges of oversized customers without which each would be two. They are where a wrong
   merge of many people mostly hangs.

   For every link of such a customer one copy of the customer without it, all solved as one graph: a link
   whose ends are apart in its copy is a bridge. That is links times links, so it is bounded: a customer of
   more links than identity_bridge_links is not looked into (identity_clusters says how many it has). #}

{% macro solve_identity_bridges(edges, components) %}
{% if execute %}
    {% do drop_scratch() %}
    {% do adapter.create_schema(scratch('any').without_identifier()) %}
    {% set links = make_scratch('bridge_links', "
        select component_key, node_a, node_b,
            row_number() over (order by component_key, node_a, node_b) as link_number
        from (
            select distinct component_key, node_a, node_b,
                count(*) over (partition by component_key) as link_count
            from (
                select distinct edges.component_key, edges.node_a, edges.node_b
                from " ~ edges ~ " as edges
                inner join (
                    select distinct component_key from " ~ components ~ "
                    where component_size > " ~ var('max_cluster_size') ~ "
                ) as oversized on edges.component_key = oversized.component_key
                where edges.status = 'active'
            ) as pairs
        ) as counted
        where link_count <= " ~ var('identity_bridge_links')) %}
    {% set nodes = make_scratch('bridge_nodes', "
        select node_key, row_number() over (order by node_key) as node_number
        from (select node_a as node_key from " ~ links ~ " union select node_b from " ~ links ~ ") as ends") %}
    {% set node_count = count_rows(nodes) + 1 %}
    {% set copies = make_scratch('bridge_copies', "
        select
            without.link_number * " ~ node_count ~ " + least(node_a.node_number, node_b.node_number) as u,
            without.link_number * " ~ node_count ~ " + greatest(node_a.node_number, node_b.node_number) as v
        from " ~ links ~ " as without
        inner join " ~ links ~ " as links
            on without.component_key = links.component_key and without.link_number <> links.link_number
        inner join " ~ nodes ~ " as node_a on links.node_a = node_a.node_key
        inner join " ~ nodes ~ " as node_b on links.node_b = node_b.node_key") %}
    {% set labels = contract_edges('bridges', copies, namespace(rounds=0)) %}
    {% do make_scratch('bridges', "
        with ends as (
            select
                links.component_key,
                links.node_a,
                links.node_b,
                links.link_number * " ~ node_count ~ " + node_a.node_number as end_a,
                links.link_number * " ~ node_count ~ " + node_b.node_number as end_b
            from " ~ links ~ " as links
            inner join " ~ nodes ~ " as node_a on links.node_a = node_a.node_key
            inner join " ~ nodes ~ " as node_b on links.node_b = node_b.node_key
        ),
        sides as (
            select component_key as label, count(*) as side_size from " ~ labels ~ " group by component_key
        )
        select
            ends.component_key,
            ends.node_a,
            ends.node_b,
            least(coalesce(side_a.side_size, 1), coalesce(side_b.side_size, 1)) as smaller_side
        from ends
        left join " ~ labels ~ " as label_a on ends.end_a = label_a.node_key
        left join " ~ labels ~ " as label_b on ends.end_b = label_b.node_key
        left join sides as side_a on label_a.component_key = side_a.label
        left join sides as side_b on label_b.component_key = side_b.label
        where coalesce(label_a.component_key, ends.end_a) <> coalesce(label_b.component_key, ends.end_b)") %}
{% endif %}
{% endmacro %}
