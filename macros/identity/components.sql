{# Connected components by min-hook contraction, one identity tier after the other.

   Each node hooks to its smallest neighbour, pointers double to the root, edges contract to
   roots, and so on until no edge is left: O(log n) rounds, label = smallest node key
   (Boruvka 1926; Shiloach and Vishkin 1982). Runs as a pre_hook: there dbt executes it at
   build time only, never on compile or docs.

   A tier's edges are admitted only where they do not give a customer more values of a type
   than `max_per_customer`: first every identifier that by itself would, is refused all its
   edges of the tier; then every component that still would, all of the tier's. Both depend
   on the graph alone, not on the order of rows. #}

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

{# The same after a run that made the components, however it ended; other runs leave it alone. #}
{% macro drop_scratch_of_this_run() %}
    {% if flags.WHICH in ('run', 'build') and 'model.cdp.identity_components' in selected_resources %}
        {% do drop_scratch() %}
    {% endif %}
{% endmacro %}

{% macro fail_components(message) %}
    {% do drop_scratch() %}
    {{ exceptions.raise_compiler_error(message) }}
{% endmacro %}


{# Labels of the graph `edges(u, v)`: a table node_key, component_key for every node that has
   an edge. Raises when it does not converge within the rounds allowed. #}
{% macro contract_edges(prefix, edges) %}
    {% set state = namespace(edges=edges, rounds=0, converged=false) %}
    {% for round in range(var('identity_max_rounds')) %}
        {% if count_rows(state.edges) == 0 %}
            {% set state.converged = true %}
            {% break %}
        {% endif %}
        {% set hooks = make_scratch(prefix ~ '_hook_' ~ round ~ '_0', "
            select node_key, least(node_key, min(neighbour)) as parent
            from (
                select u as node_key, v as neighbour from " ~ state.edges ~ "
                union all
                select v as node_key, u as neighbour from " ~ state.edges ~ "
            ) as neighbours
            group by node_key") %}
        {% set pointer = namespace(table=hooks, flat=false) %}
        {% for doubling in range(1, var('identity_max_rounds')) %}
            {% set pointer.table = make_scratch(prefix ~ '_hook_' ~ round ~ '_' ~ doubling, "
                select child.node_key, child.parent as previous_parent, root.parent
                from " ~ pointer.table ~ " as child
                inner join " ~ pointer.table ~ " as root on child.parent = root.node_key") %}
            {% if count_rows(pointer.table, 'parent <> previous_parent') == 0 %}
                {% set pointer.flat = true %}
                {% break %}
            {% endif %}
        {% endfor %}
        {% if not pointer.flat %}
            {{ fail_components("Identity components: pointers did not reach their roots within identity_max_rounds (" ~ var('identity_max_rounds') ~ ").") }}
        {% endif %}
        {% do make_scratch(prefix ~ '_root_' ~ round, "select node_key, parent as root from " ~ pointer.table) %}
        {% set roots = scratch(prefix ~ '_root_' ~ round) %}
        {% set state.edges = make_scratch(prefix ~ '_edges_' ~ (round + 1), "
            select distinct
                least(root_u.root, root_v.root) as u,
                greatest(root_u.root, root_v.root) as v
            from " ~ state.edges ~ " as edges
            inner join " ~ roots ~ " as root_u on edges.u = root_u.node_key
            inner join " ~ roots ~ " as root_v on edges.v = root_v.node_key
            where root_u.root <> root_v.root") %}
        {% set state.rounds = round + 1 %}
    {% endfor %}
    {% if not state.converged %}
        {{ fail_components("Identity components did not converge within identity_max_rounds (" ~ var('identity_max_rounds') ~ ") rounds; nothing was replaced.") }}
    {% endif %}
    {% if state.rounds == 0 %}
        {{ return(make_scratch(prefix ~ '_labels', "select u as node_key, u as component_key from " ~ edges ~ " where 1 = 0")) }}
    {% endif %}
    {% set composed = namespace(table=none) %}
    {% for back in range(state.rounds) %}
        {% set round = state.rounds - 1 - back %}
        {% set roots = scratch(prefix ~ '_root_' ~ round) %}
        {% if composed.table is none %}
            {% set composed.table = make_scratch(prefix ~ '_composed_' ~ round, "select node_key, root as component_key from " ~ roots) %}
        {% else %}
            {% set composed.table = make_scratch(prefix ~ '_composed_' ~ round, "
                select roots.node_key, coalesce(later.component_key, roots.root) as component_key
                from " ~ roots ~ " as roots
                left join " ~ composed.table ~ " as later on roots.root = later.node_key") %}
        {% endif %}
    {% endfor %}
    {{ return(composed.table) }}
{% endmacro %}


{% macro solve_identity_components(identifiers, edges, types) %}
{% if execute %}
    {% do drop_scratch() %}
    {% do adapter.create_schema(scratch('any').without_identifier()) %}
    {% set labels = namespace(table=make_scratch('labels_start', "
        select node_key, node_key as component_key from " ~ identifiers ~ " where status = 'active'")) %}
    {% set tiers = run_query("select distinct tier from " ~ edges ~ " order by tier").columns[0].values() %}
    {% for tier in tiers %}
        {% set prefix = 'tier_' ~ tier %}
        {% set candidates = make_scratch(prefix ~ '_candidates', "
            select distinct
                edges.weaker_node_key,
                least(label_a.component_key, label_b.component_key) as u,
                greatest(label_a.component_key, label_b.component_key) as v
            from " ~ edges ~ " as edges
            inner join " ~ labels.table ~ " as label_a on edges.node_a = label_a.node_key
            inner join " ~ labels.table ~ " as label_b on edges.node_b = label_b.node_key
            where edges.tier = " ~ tier ~ " and label_a.component_key <> label_b.component_key") %}
        {% if count_rows(candidates) > 0 %}
        {% set type_counts = make_scratch(prefix ~ '_type_counts', "
            select labels.component_key, identifiers.identifier_type, count(*) as value_count
            from " ~ labels.table ~ " as labels
            inner join " ~ identifiers ~ " as identifiers on labels.node_key = identifiers.node_key
            inner join " ~ types ~ " as types
                on identifiers.identifier_type = types.identifier_type and types.max_per_customer is not null
            group by labels.component_key, identifiers.identifier_type") %}
        {% set refused = make_scratch(prefix ~ '_refused_identifiers', "
            select distinct over_limit.weaker_node_key
            from (
                select members.weaker_node_key, type_counts.identifier_type
                from (
                    select weaker_node_key, u as component_key from " ~ candidates ~ "
                    union
                    select weaker_node_key, v as component_key from " ~ candidates ~ "
                ) as members
                inner join " ~ type_counts ~ " as type_counts on members.component_key = type_counts.component_key
                inner join " ~ types ~ " as types on type_counts.identifier_type = types.identifier_type
                group by members.weaker_node_key, type_counts.identifier_type
                having sum(type_counts.value_count) > max(types.max_per_customer)
            ) as over_limit") %}
        {% set admitted = make_scratch(prefix ~ '_edges_0', "
            select distinct candidates.u, candidates.v
            from " ~ candidates ~ " as candidates
            left join " ~ refused ~ " as refused on candidates.weaker_node_key = refused.weaker_node_key
            where refused.weaker_node_key is null") %}
        {% set merged = contract_edges(prefix, admitted) %}
        {% set over_limit = make_scratch(prefix ~ '_refused_components', "
            select distinct component_key
            from (
                select merged.component_key, type_counts.identifier_type
                from " ~ merged ~ " as merged
                inner join " ~ type_counts ~ " as type_counts on merged.node_key = type_counts.component_key
                inner join " ~ types ~ " as types on type_counts.identifier_type = types.identifier_type
                group by merged.component_key, type_counts.identifier_type
                having sum(type_counts.value_count) > max(types.max_per_customer)
            ) as over_limit") %}
        {% set labels.table = make_scratch('labels_' ~ tier, "
            select
                labels.node_key,
                case when over_limit.component_key is null
                    then coalesce(merged.component_key, labels.component_key)
                    else labels.component_key
                end as component_key
            from " ~ labels.table ~ " as labels
            left join " ~ merged ~ " as merged on labels.component_key = merged.node_key
            left join " ~ over_limit ~ " as over_limit on merged.component_key = over_limit.component_key") %}
        {% endif %}
    {% endfor %}
    {% do make_scratch('labels', "select node_key, component_key from " ~ labels.table) %}
{% endif %}
{% endmacro %}
