{# Connected components by min-hook contraction.

   Each node hooks to its smallest neighbour, pointers jump to the root, edges contract to
   roots, and so on until no edge is left: O(log n) rounds, label = smallest node key
   (Boruvka 1926; Shiloach and Vishkin 1982). Runs in a pre_hook: there dbt executes it at
   build time only, never on compile or docs. #}

{% macro scratch(name) %}
    {{ return(api.Relation.create(
        database=target.get('database'), schema=var('schema_prefix') ~ 'identity_scratch', identifier=name, type='table'
    )) }}
{% endmacro %}

{% macro make_scratch(name, sql) %}
    {% set relation = scratch(name) %}
    {% do run_query(get_create_table_as_sql(False, relation, sql)) %}
    {{ return(relation) }}
{% endmacro %}

{% macro count_rows(relation, condition='true') %}
    {{ return(run_query("select count(*) from " ~ relation ~ " where " ~ condition).columns[0].values()[0] | int) }}
{% endmacro %}

{# Drops the scratch schema with every work table, also those that a failed run left. #}
{% macro drop_scratch() %}
    {% if execute %}
        {% do adapter.drop_schema(scratch('any').without_identifier()) %}
    {% endif %}
{% endmacro %}

{# The same after a run that used it, however it ended; other runs leave it alone. #}
{% macro drop_scratch_of_this_run() %}
    {% set makers = ['model.cdp.identity_components', 'model.cdp.identity_bridges'] %}
    {% if flags.WHICH in ('run', 'build') and makers | select('in', selected_resources) | list %}
        {% do drop_scratch() %}
    {% endif %}
{% endmacro %}

{% macro fail_components(message) %}
    {% do drop_scratch() %}
    {{ exceptions.raise_compiler_error(message) }}
{% endmacro %}


{# Labels of the graph `edges(u, v)`, u < v: a table node_key, component_key for every node that
   has an edge. Raises when it does not converge within the rounds allowed.

   A node without a smaller neighbour is a root and stands in no table of hooks; so one direction
   of the edges is enough. Most nodes are nobody's parent: pointers jump among the inner nodes
   alone, three steps at a time. The edge that a node hooked along is gone with the contraction,
   so only the others are looked up. #}
{% macro contract_edges(prefix, edges, told) %}
    {% set state = namespace(edges=edges, converged=false) %}
    {% set rounds = [] %}
    {% for round in range(var('identity_max_rounds')) %}
        {% if count_rows(state.edges) == 0 %}
            {% set state.converged = true %}
            {% break %}
        {% endif %}
        {% set name = prefix ~ '_round_' ~ round %}
        {% set hooks = make_scratch(name ~ '_hooks', "
            select v as node_key, min(u) as parent, count(*) as edge_count
            from " ~ state.edges ~ "
            group by v") %}
        {% set inner = flatten_hooks(name, hooks) %}
        {% do rounds.append([hooks, inner]) %}
        {% set told.rounds = told.rounds + 1 %}
        {% set state.edges = make_scratch(name ~ '_edges', "
            select distinct least(root_u, root_v) as u, greatest(root_u, root_v) as v
            from (
                select
                    coalesce(inner_u.parent, hooks_u.parent, others.u) as root_u,
                    coalesce(inner_v.parent, others.parent_v) as root_v
                from (
                    select edges.u, hooks.parent as parent_v
                    from " ~ state.edges ~ " as edges
                    inner join " ~ hooks ~ " as hooks on edges.v = hooks.node_key
                    where hooks.edge_count > 1 and edges.u <> hooks.parent
                ) as others
                left join " ~ inner ~ " as inner_v on others.parent_v = inner_v.node_key
                left join " ~ hooks ~ " as hooks_u on others.u = hooks_u.node_key
                left join " ~ inner ~ " as inner_u on hooks_u.parent = inner_u.node_key
            ) as contracted
            where root_u <> root_v") %}
    {% endfor %}
    {% if not state.converged %}
        {{ fail_components("Identity components did not converge within identity_max_rounds (" ~ var('identity_max_rounds') ~ ") rounds; nothing was replaced.") }}
    {% endif %}
    {% if not rounds %}
        {{ return(make_scratch(prefix ~ '_merged', "select u as node_key, u as component_key from " ~ edges ~ " where 1 = 0")) }}
    {% endif %}
    {# From the last round back: a round's nodes, and those of every later one, with their label. #}
    {% set labels = namespace(table=none) %}
    {% for hooks, inner in rounds | reverse %}
        {% set roots = "
            select hooks.node_key, coalesce(inner_nodes.parent, hooks.parent) as root
            from " ~ hooks ~ " as hooks
            left join " ~ inner ~ " as inner_nodes on hooks.parent = inner_nodes.node_key" %}
        {% set name = prefix ~ '_labels_' ~ loop.revindex0 %}
        {% if labels.table is none %}
            {% set labels.table = make_scratch(name, "
                select node_key, root as component_key
                from (" ~ roots ~ ") as roots") %}
        {% else %}
            {% set labels.table = make_scratch(name, "
                select roots.node_key, coalesce(later.component_key, roots.root) as component_key
                from (" ~ roots ~ ") as roots
                left join " ~ labels.table ~ " as later on roots.root = later.node_key
                union all
                select node_key, component_key from " ~ labels.table) %}
        {% endif %}
    {% endfor %}
    {{ return(make_scratch(prefix ~ '_merged', "
        select node_key, component_key from " ~ labels.table ~ "
        union all
        select distinct component_key as node_key, component_key from " ~ labels.table)) }}
{% endmacro %}


{# The root above each node that is both a child and a parent in `hooks(node_key, parent)`. A
   node that no third step up was found for (`passed`) has reached its root. #}
{% macro flatten_hooks(prefix, hooks) %}
    {% set inner = namespace(table=make_scratch(prefix ~ '_inner_0', "
        select node_key, parent
        from " ~ hooks ~ "
        where node_key in (select parent from " ~ hooks ~ ")"), flat=false) %}
    {% for jump in range(1, var('identity_max_rounds')) %}
        {% set inner.table = make_scratch(prefix ~ '_inner_' ~ jump, "
            select
                nodes.node_key,
                coalesce(grandparents.parent, parents.parent, nodes.parent) as parent,
                grandparents.node_key as passed
            from " ~ inner.table ~ " as nodes
            left join " ~ inner.table ~ " as parents on nodes.parent = parents.node_key
            left join " ~ inner.table ~ " as grandparents on parents.parent = grandparents.node_key") %}
        {% if count_rows(inner.table, 'passed is not null') == 0 %}
            {% set inner.flat = true %}
            {% break %}
        {% endif %}
    {% endfor %}
    {% if not inner.flat %}
        {{ fail_components("Identity components: pointers did not reach their roots within identity_max_rounds (" ~ var('identity_max_rounds') ~ ").") }}
    {% endif %}
    {{ return(inner.table) }}
{% endmacro %}
