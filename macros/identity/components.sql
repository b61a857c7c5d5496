{# Who is one customer: identity components, one tier after the other, within the limits.

   `edges` are pairs of nodes (node_a < node_b) with a tier (0 is what a person decided: must_link), a guard_key
   (the identifier that an edge would let join others; a pair itself where it is a probable
   match) and an edge_order (smaller is tried first). A limit says how many values of a kind one
   customer may have: of an identifier type (max_per_customer), or, for a pair that a person
   forbade (cannot_link), one of the two.

   Tier by tier the admissible edges are contracted. Where that keeps to every limit, it stands.
   Where it does not, in those components alone:
   1. a guard that by itself would break a limit, is refused all its edges of the tier (a phone
      of two accounts joins neither);
   2. what is left is joined edge by edge in edge_order, leaving out each edge that would break
      a limit (Kruskal's order).
   A limit that a must_link broke is broken: it stops only what would break it further.

   Nothing depends on the order of rows, and all of history is judged by the rules of today.
   Tables of the solver's own are in two schemas: `identity_scratch` lives for a run,
   `identity_state` holds what was solved last (macros/identity/changes.sql). #}

{% macro solve_identity_components(identifiers, edges, types, overrides) %}
{% if execute %}
    {% set started = wall_clock() %}
    {% do drop_scratch() %}
    {% do adapter.create_schema(scratch('any').without_identifier()) %}
    {% do adapter.create_schema(solved('any').without_identifier()) %}
    {% set told = namespace(mode='full', touched=0, rounds=0, reason='') %}
    {% do refuse_bad_overrides(overrides, told) %}
    {% do make_scratch('rules', solver_rules(types, overrides)) %}
    {% set told.reason = reason_to_solve_all() or '' %}
    {% if told.reason %}
        {% do forget_solved() %}
        {% do solve_all(identifiers, edges, types, overrides, told) %}
    {% else %}
        {% do solve_changes(identifiers, edges, types, overrides, told) %}
    {% endif %}
    {% do remember_solved(told, started) %}
{% endif %}
{% endmacro %}


{% macro solve_all(identifiers, edges, types, overrides, told) %}
    {% do make_scratch('limits', limits_of(identifiers, types, overrides)) %}
    {% do make_solved('labels', "select node_key, component_key, evidence_key from " ~ solve_tiers('all', edges, scratch('limits'), told)) %}
    {% do make_solved('edges', "select node_a, node_b, tier, guard_key, edge_order from " ~ edges) %}
    {% set told.touched = count_rows(solved('labels')) %}
{% endmacro %}


{# One row per node and limit that holds for it. #}
{% macro limits_of(identifiers, types, overrides) -%}
select identifiers.node_key, types.priority as limit_key, types.max_per_customer as max_values, 1 as value_count
from {{ identifiers }} as identifiers
inner join {{ types }} as types on identifiers.identifier_type = types.identifier_type
where types.max_per_customer is not null and identifiers.status = 'active'
union all
select node_a as node_key, override_key as limit_key, 1 as max_values, 1 as value_count
from {{ overrides }} where action = 'cannot_link'
union all
select node_b as node_key, override_key as limit_key, 1 as max_values, 1 as value_count
from {{ overrides }} where action = 'cannot_link'
{%- endmacro %}


{# A table node_key, component_key, evidence_key for every node that has an edge. The evidence
   component is what all edges join, refused ones too: a change within one touches no other. #}
{% macro solve_tiers(prefix, edges, limits, told) %}
    {% set state = namespace(labels=none, counts=limits, refused=false) %}
    {% set tiers = run_query("select distinct tier from " ~ edges ~ " order by tier").columns[0].values() %}
    {% for tier in tiers %}
        {% set step = prefix ~ '_tier_' ~ tier | int %}
        {% if state.labels is none %}
            {% set candidates = make_scratch(step ~ '_candidates', "
                select node_a as u, node_b as v, guard_key, edge_order from " ~ edges ~ " where tier = " ~ tier) %}
        {% else %}
            {% set candidates = make_scratch(step ~ '_candidates', "
                select
                    least(coalesce(label_a.component_key, edges.node_a), coalesce(label_b.component_key, edges.node_b)) as u,
                    greatest(coalesce(label_a.component_key, edges.node_a), coalesce(label_b.component_key, edges.node_b)) as v,
                    edges.guard_key,
                    edges.edge_order
                from " ~ edges ~ " as edges
                left join " ~ state.labels ~ " as label_a on edges.node_a = label_a.node_key
                left join " ~ state.labels ~ " as label_b on edges.node_b = label_b.node_key
                where
                    edges.tier = " ~ tier ~ "
                    and coalesce(label_a.component_key, edges.node_a) <> coalesce(label_b.component_key, edges.node_b)") %}
        {% endif %}
        {% set joined = join_within_limits(step, candidates, state.counts, tier | int > 0, told) %}
        {% set state.counts = joined.counts %}
        {% set state.refused = state.refused or joined.refused %}
        {% if state.labels is none %}
            {% set state.labels = joined.labels %}
        {% else %}
            {% set state.labels = make_scratch(step ~ '_labels_of_nodes', "
                select labels.node_key, coalesce(joined.component_key, labels.component_key) as component_key
                from " ~ state.labels ~ " as labels
                left join " ~ joined.labels ~ " as joined on labels.component_key = joined.node_key
                union all
                select joined.node_key, joined.component_key
                from " ~ joined.labels ~ " as joined
                left join " ~ state.labels ~ " as labels on joined.node_key = labels.node_key
                where labels.node_key is null") %}
        {% endif %}
    {% endfor %}
    {% if state.labels is none %}
        {{ return(make_scratch(prefix ~ '_solved', "select node_a as node_key, node_a as component_key, node_a as evidence_key from " ~ edges ~ " where 1 = 0")) }}
    {% endif %}
    {% if not state.refused %}
        {{ return(make_scratch(prefix ~ '_solved', "select node_key, component_key, component_key as evidence_key from " ~ state.labels)) }}
    {% endif %}
    {% set apart = make_scratch(prefix ~ '_apart', "
        select distinct
            least(coalesce(label_a.component_key, edges.node_a), coalesce(label_b.component_key, edges.node_b)) as u,
            greatest(coalesce(label_a.component_key, edges.node_a), coalesce(label_b.component_key, edges.node_b)) as v
        from " ~ edges ~ " as edges
        left join " ~ state.labels ~ " as label_a on edges.node_a = label_a.node_key
        left join " ~ state.labels ~ " as label_b on edges.node_b = label_b.node_key
        where coalesce(label_a.component_key, edges.node_a) <> coalesce(label_b.component_key, edges.node_b)") %}
    {% set evidence = contract_edges(prefix ~ '_evidence', apart, told) %}
    {{ return(make_scratch(prefix ~ '_solved', "
        select labels.node_key, labels.component_key, coalesce(evidence.component_key, labels.component_key) as evidence_key
        from " ~ state.labels ~ " as labels
        left join " ~ evidence ~ " as evidence on labels.component_key = evidence.node_key
        union all
        select evidence.node_key, evidence.node_key as component_key, evidence.component_key as evidence_key
        from " ~ evidence ~ " as evidence
        left join " ~ state.labels ~ " as labels on evidence.node_key = labels.node_key
        where labels.node_key is null")) }}
{% endmacro %}


{# Joins components by candidate edges as far as the limits allow. Gives the labels of those that
   have a candidate (node_key, component_key), the counts of the joined components
   (node_key, limit_key, max_values[, value_count]) and whether anything was refused. #}
{% macro join_within_limits(step, candidates, counts, is_guarded, told) %}
    {% set joined = contract_edges(step, candidates, told) %}
    {% set next_counts = counts_of(step ~ '_counts', counts, joined) %}
    {% if not is_guarded or count_rows(next_counts, 'value_count > allowed') == 0 %}
        {{ return(namespace(labels=joined, counts=next_counts, refused=false)) }}
    {% endif %}
    {% set disputed = make_scratch(step ~ '_disputed', "
        select candidates.*
        from " ~ candidates ~ " as candidates
        inner join " ~ joined ~ " as joined on candidates.u = joined.node_key
        inner join (select distinct node_key from " ~ next_counts ~ " where value_count > allowed) as over_limit
            on joined.component_key = over_limit.node_key") %}
    {% set disputed_counts = make_scratch(step ~ '_disputed_counts', "
        select counts.node_key, counts.limit_key, counts.max_values, counts.value_count
        from (select u as node_key from " ~ disputed ~ " union select v from " ~ disputed ~ ") as members
        inner join " ~ counts ~ " as counts on members.node_key = counts.node_key") %}
    {% set admitted = make_scratch(step ~ '_admitted', "
        select disputed.*
        from " ~ disputed ~ " as disputed
        left join (
            select distinct guard_key
            from (
                select members.guard_key
                from (
                    select guard_key, u as node_key from " ~ disputed ~ "
                    union
                    select guard_key, v as node_key from " ~ disputed ~ "
                ) as members
                inner join " ~ disputed_counts ~ " as counts on members.node_key = counts.node_key
                group by members.guard_key, counts.limit_key, counts.max_values
                having sum(counts.value_count) > greatest(counts.max_values, max(counts.value_count))
            ) as over_limit
        ) as refused on disputed.guard_key = refused.guard_key
        where refused.guard_key is null") %}
    {% set settled = join_in_order(step, admitted, disputed_counts, told) %}
    {% set labels = make_scratch(step ~ '_joined', "
        select joined.node_key, coalesce(settled.component_key, case when disputed.node_key is null then joined.component_key end, joined.node_key) as component_key
        from " ~ joined ~ " as joined
        left join (select u as node_key from " ~ disputed ~ " union select v from " ~ disputed ~ ") as disputed
            on joined.node_key = disputed.node_key
        left join " ~ settled ~ " as settled on joined.node_key = settled.node_key") %}
    {{ return(namespace(labels=labels, counts=counts_of(step ~ '_counts_kept', counts, labels), refused=true)) }}
{% endmacro %}


{# The values of each limit in the components that labels make; allowed is the limit, or what one
   part already had beyond it. #}
{% macro counts_of(name, counts, labels) %}
    {{ return(make_scratch(name, "
        select
            coalesce(labels.component_key, counts.node_key) as node_key,
            counts.limit_key,
            counts.max_values,
            cast(sum(counts.value_count) as bigint) as value_count,
            greatest(counts.max_values, max(counts.value_count)) as allowed
        from " ~ counts ~ " as counts
        left join " ~ labels ~ " as labels on counts.node_key = labels.node_key
        group by coalesce(labels.component_key, counts.node_key), counts.limit_key, counts.max_values")) }}
{% endmacro %}


{# Kruskal's order within the limits: labels (node_key, component_key) of what was joined.
   Each round takes every edge that comes first for both its ends, as nothing before it can touch
   either; and every edge that comes first for an end without limited values, as that end can
   wait for nothing and break nothing. So the answer is that of one edge at a time, in few rounds;
   an edge whose turn has not come after identity_max_rounds of them is refused. #}
{% macro join_in_order(step, candidates, counts, told) %}
    {% set joined = contract_edges(step ~ '_settled', candidates, told) %}
    {% set joined_counts = counts_of(step ~ '_settled_counts', counts, joined) %}
    {% if count_rows(joined_counts, 'value_count > allowed') == 0 %}
        {{ return(joined) }}
    {% endif %}
    {% set state = namespace(
        edges=make_scratch(step ~ '_ordered_0', "
            select candidates.u, candidates.v,
                row_number() over (order by candidates.edge_order, candidates.guard_key, candidates.u, candidates.v) as place
            from (select distinct u, v, guard_key, edge_order from " ~ candidates ~ ") as candidates
            inner join " ~ joined ~ " as joined on candidates.u = joined.node_key
            inner join (select distinct node_key from " ~ joined_counts ~ " where value_count > allowed) as over_limit
                on joined.component_key = over_limit.node_key"),
        labels=none,
        counts=counts
    ) %}
    {% set state.labels = make_scratch(step ~ '_ordered_labels_0', "
        select node_key, node_key as component_key
        from (select u as node_key from " ~ state.edges ~ " union select v from " ~ state.edges ~ ") as ends") %}
    {% for round in range(1, var('identity_max_rounds')) %}
        {% if count_rows(state.edges) == 0 %}{% break %}{% endif %}
        {% set name = step ~ '_ordered_' ~ round %}
        {% set told.rounds = told.rounds + 1 %}
        {% set first = make_scratch(name ~ '_first', "
            select ends.node_key, min(ends.place) as place, max(case when counts.node_key is null then 1 else 0 end) as is_free
            from (
                select u as node_key, place from " ~ state.edges ~ "
                union all
                select v as node_key, place from " ~ state.edges ~ "
            ) as ends
            left join (select distinct node_key from " ~ state.counts ~ ") as counts on ends.node_key = counts.node_key
            group by ends.node_key") %}
        {# Of each edge taken, the end that goes into the other; where either may, the larger key. #}
        {% set taken = make_scratch(name ~ '_taken', "
            select
                edges.u,
                edges.v,
                case
                    when edges.place = first_u.place and edges.place = first_v.place then greatest(edges.u, edges.v)
                    when edges.place = first_u.place then edges.u
                    else edges.v
                end as node_key,
                case
                    when edges.place = first_u.place and edges.place = first_v.place then least(edges.u, edges.v)
                    when edges.place = first_u.place then edges.v
                    else edges.u
                end as parent
            from " ~ state.edges ~ " as edges
            inner join " ~ first ~ " as first_u on edges.u = first_u.node_key
            inner join " ~ first ~ " as first_v on edges.v = first_v.node_key
            where
                (edges.place = first_u.place and (first_u.is_free = 1 or edges.place = first_v.place))
                or (edges.place = first_v.place and first_v.is_free = 1)") %}
        {% set broken = make_scratch(name ~ '_broken', "
            select distinct ends.u, ends.v
            from (
                select u, v, u as node_key from " ~ taken ~ "
                union all
                select u, v, v as node_key from " ~ taken ~ "
            ) as ends
            inner join " ~ state.counts ~ " as counts on ends.node_key = counts.node_key
            group by ends.u, ends.v, counts.limit_key, counts.max_values
            having sum(counts.value_count) > greatest(counts.max_values, max(counts.value_count))") %}
        {% set merges = flat_pointers(name ~ '_merges', "
            select taken.node_key, taken.parent as component_key
            from " ~ taken ~ " as taken
            left join " ~ broken ~ " as broken on taken.u = broken.u and taken.v = broken.v
            where broken.u is null") %}
        {% set state.edges = make_scratch(name, "
            select u, v, min(place) as place
            from (
                select
                    least(coalesce(merge_u.component_key, edges.u), coalesce(merge_v.component_key, edges.v)) as u,
                    greatest(coalesce(merge_u.component_key, edges.u), coalesce(merge_v.component_key, edges.v)) as v,
                    edges.place
                from " ~ state.edges ~ " as edges
                left join " ~ broken ~ " as broken on edges.u = broken.u and edges.v = broken.v
                left join " ~ merges ~ " as merge_u on edges.u = merge_u.node_key
                left join " ~ merges ~ " as merge_v on edges.v = merge_v.node_key
                where broken.u is null
            ) as edges
            where u <> v
            group by u, v") %}
        {% set state.labels = make_scratch(step ~ '_ordered_labels_' ~ round, "
            select labels.node_key, coalesce(merges.component_key, labels.component_key) as component_key
            from " ~ state.labels ~ " as labels
            left join " ~ merges ~ " as merges on labels.component_key = merges.node_key") %}
        {% set state.counts = counts_of(name ~ '_counts', state.counts, merges) %}
    {% endfor %}
    {{ return(make_scratch(step ~ '_settled_in_order', "
        select joined.node_key, coalesce(labels.component_key, joined.component_key) as component_key
        from " ~ joined ~ " as joined
        left join (
            select node_key, min(node_key) over (partition by component_key) as component_key from " ~ state.labels ~ "
        ) as labels on joined.node_key = labels.node_key")) }}
{% endmacro %}

{# Pointers (node_key, component_key) followed to their ends, a node without one being an end;
   four steps a statement. #}
{% macro flat_pointers(name, sql) %}
    {% set state = namespace(table=make_scratch(name ~ '_0', sql), flat=false) %}
    {% for doubling in range(1, var('identity_max_rounds')) %}
        {% set before = state.table %}
        {% set state.table = make_scratch(name ~ '_' ~ doubling, "
            select
                pointer.node_key,
                coalesce(pointer_4.component_key, pointer_3.component_key, pointer_2.component_key, pointer.component_key) as component_key,
                case when pointer_4.node_key is null then 1 else 0 end as is_flat
            from " ~ before ~ " as pointer
            left join " ~ before ~ " as pointer_2 on pointer.component_key = pointer_2.node_key
            left join " ~ before ~ " as pointer_3 on pointer_2.component_key = pointer_3.node_key
            left join " ~ before ~ " as pointer_4 on pointer_3.component_key = pointer_4.node_key") %}
        {% if count_rows(state.table, 'is_flat = 0') == 0 %}{% break %}{% endif %}
    {% endfor %}
    {{ return(state.table) }}
{% endmacro %}
