{# What was solved last, and solving no more than what changed since.

   `identity_state` holds the edges that were solved, the labels they gave and the rules they
   were solved by. New edges only are joined as components of the evidence that they touch, which
   is exact where nothing there is in dispute: nothing is gone, and the whole keeps to every limit, so
   nothing of it was refused either. Any other evidence component that changed is solved anew, from its
   edges. So the labels are those of a full solve after any history; `tests/orchestration/
   test_identity_solver.py` says so.

   `rules` is dropped before anything changes and written last: where it is missing, what is
   there is not trusted and all is solved. #}

{% macro solved(name) %}
    {{ return(api.Relation.create(
        database=target.get('database'), schema=var('schema_prefix') ~ 'identity_state', identifier=name, type='table'
    )) }}
{% endmacro %}

{% macro make_solved(name, sql) %}
    {% do drop_table(solved(name)) %}
    {% do run_query(get_create_table_as_sql(False, solved(name), sql)) %}
{% endmacro %}

{% macro drop_table(relation) %}
    {% do run_query("drop table if exists " ~ relation) %}
{% endmacro %}

{% macro forget_solved() %}
    {% do drop_table(solved('rules')) %}
{% endmacro %}

{# One row per rule that labels depend on besides the edges. #}
{% macro solver_rules(types, overrides) -%}
select
    'max_per_customer ' || identifier_type || ' ' || cast(max_per_customer as {{ dbt.type_string() }}) as rule_key,
    priority as limit_key, cast(null as bigint) as node_a, cast(null as bigint) as node_b
from {{ types }} where max_per_customer is not null
union all
select 'cannot_link' as rule_key, override_key as limit_key, node_a, node_b
from {{ overrides }} where action = 'cannot_link'
union all
select 'solver 2' as rule_key, 0 as limit_key, cast(null as bigint) as node_a, cast(null as bigint) as node_b
{%- endmacro %}


{# Why what was solved last cannot be gone on from; none where it can. #}
{% macro reason_to_solve_all() %}
    {% if flags.FULL_REFRESH %}{{ return('full refresh') }}{% endif %}
    {% for name in ('rules', 'edges', 'labels') %}
        {% if not table_exists(solved(name)) %}{{ return('nothing solved before') }}{% endif %}
    {% endfor %}
    {% set changed = "
        select count(*) from (
            (select rule_key, limit_key from " ~ scratch('rules') ~ " where node_a is null
                except select rule_key, limit_key from " ~ solved('rules') ~ ")
            union all
            (select rule_key, limit_key from " ~ solved('rules') ~ " where node_a is null
                except select rule_key, limit_key from " ~ scratch('rules') ~ ")
        ) as changed" %}
    {% if run_query(changed).columns[0].values()[0] | int > 0 %}
        {{ return('limits changed') }}
    {% endif %}
    {{ return(none) }}
{% endmacro %}

{# The adapter's cache does not know tables that a hook made. #}
{% macro table_exists(relation) %}
    {{ return(adapter.dispatch('table_exists', 'cdp')(relation)) }}
{% endmacro %}

{% macro default__table_exists(relation) %}
    {{ return(run_query("show tables in " ~ relation.without_identifier() ~ " like '" ~ relation.identifier ~ "'").rows | length > 0) }}
{% endmacro %}

{% macro duckdb__table_exists(relation) %}
    {{ return(run_query(
        "select 1 from information_schema.tables where table_catalog = current_database() and table_schema = '"
        ~ relation.schema ~ "' and table_name = '" ~ relation.identifier ~ "'").rows | length > 0) }}
{% endmacro %}


{# Solves what changed and puts it in the place of what it was. #}
{% macro solve_changes(identifiers, edges, types, overrides, told) %}
    {% set labels, solved_edges = solved('labels'), solved('edges') %}
    {% set changes = make_scratch('changes', "
        select
            coalesce(edges.node_a, before.node_a) as node_a,
            coalesce(edges.node_b, before.node_b) as node_b,
            coalesce(edges.tier, before.tier) as tier,
            coalesce(edges.guard_key, before.guard_key) as guard_key,
            coalesce(edges.edge_order, before.edge_order) as edge_order,
            edges.node_a is not null as is_new
        from " ~ edges ~ " as edges
        full outer join " ~ solved_edges ~ " as before
            on edges.node_a = before.node_a and edges.node_b = before.node_b and edges.tier = before.tier
            and edges.guard_key = before.guard_key and edges.edge_order = before.edge_order
        where edges.node_a is null or before.node_a is null") %}
    {% set forbidden = make_scratch('forbidden_changes', "
        select node_a, node_b from (
            (select limit_key, node_a, node_b from " ~ scratch('rules') ~ " where node_a is not null
                except select limit_key, node_a, node_b from " ~ solved('rules') ~ ")
            union all
            (select limit_key, node_a, node_b from " ~ solved('rules') ~ " where node_a is not null
                except select limit_key, node_a, node_b from " ~ scratch('rules') ~ ")
        ) as changed") %}
    {% if count_rows(changes) == 0 and count_rows(forbidden) == 0 %}
        {% set told.mode = 'unchanged' %}
        {{ return('') }}
    {% endif %}
    {% do forget_solved() %}
    {# The evidence components at the ends of what changed; a node without an edge so far is one. #}
    {% set ends = make_scratch('changed_ends', "
        select ends.node_key, max(ends.is_disputed) as is_disputed, coalesce(labels.evidence_key, ends.node_key) as evidence_key
        from (
            select node_a as node_key, case when is_new then 0 else 1 end as is_disputed from " ~ changes ~ "
            union all
            select node_b, case when is_new then 0 else 1 end from " ~ changes ~ "
            union all
            select node_a, 1 from " ~ forbidden ~ "
            union all
            select node_b, 1 from " ~ forbidden ~ "
        ) as ends
        left join " ~ labels ~ " as labels on ends.node_key = labels.node_key
        group by ends.node_key, coalesce(labels.evidence_key, ends.node_key)") %}
    {% set members = make_scratch('members', "
        select labels.node_key, labels.evidence_key
        from " ~ labels ~ " as labels
        inner join (select distinct evidence_key from " ~ ends ~ ") as touched on labels.evidence_key = touched.evidence_key
        union all
        select ends.node_key, ends.node_key as evidence_key
        from " ~ ends ~ " as ends
        left join " ~ labels ~ " as labels on ends.node_key = labels.node_key
        where labels.node_key is null") %}
    {% set groups = contract_edges('changes', make_scratch('changes_edges', "
        select distinct least(end_a.evidence_key, end_b.evidence_key) as u, greatest(end_a.evidence_key, end_b.evidence_key) as v
        from " ~ changes ~ " as changes
        inner join " ~ ends ~ " as end_a on changes.node_a = end_a.node_key
        inner join " ~ ends ~ " as end_b on changes.node_b = end_b.node_key
        where changes.is_new and end_a.evidence_key <> end_b.evidence_key"), told) %}
    {% set grouped = make_scratch('grouped', "
        select members.node_key, members.evidence_key,
            coalesce(groups.component_key, members.evidence_key) as group_key
        from " ~ members ~ " as members
        left join " ~ groups ~ " as groups on members.evidence_key = groups.node_key") %}
    {% set limits = make_scratch('limits', "
        select limits.* from (" ~ limits_of(identifiers, types, overrides) ~ ") as limits
        inner join " ~ grouped ~ " as grouped on limits.node_key = grouped.node_key") %}
    {% set disputed = make_scratch('disputed_groups', "
        select grouped.group_key
        from " ~ grouped ~ " as grouped
        inner join " ~ ends ~ " as ends on grouped.node_key = ends.node_key
        where ends.is_disputed = 1
        union
        select over_limit.group_key
        from (
            select grouped.group_key
            from " ~ grouped ~ " as grouped
            inner join " ~ limits ~ " as limits on grouped.node_key = limits.node_key
            group by grouped.group_key, limits.limit_key, limits.max_values
            having sum(limits.value_count) > limits.max_values
        ) as over_limit") %}
    {% set anew = make_scratch('solved_anew', "
        select grouped.node_key
        from " ~ grouped ~ " as grouped
        inner join " ~ disputed ~ " as disputed on grouped.group_key = disputed.group_key") %}
    {% set next_labels = solve_tiers('changes', make_scratch('edges_anew', "
        select edges.node_a, edges.node_b, edges.tier, edges.guard_key, edges.edge_order
        from " ~ edges ~ " as edges
        inner join " ~ anew ~ " as anew on edges.node_a = anew.node_key"), limits, told) %}
    {% set relabelled = make_scratch('relabelled', "
        select grouped.node_key, grouped.group_key as component_key, grouped.group_key as evidence_key
        from " ~ grouped ~ " as grouped
        left join " ~ disputed ~ " as disputed on grouped.group_key = disputed.group_key
        left join (
            select node_a as node_key from " ~ changes ~ " union select node_b from " ~ changes ~ "
        ) as ends on grouped.node_key = ends.node_key
        where disputed.group_key is null and (grouped.evidence_key <> grouped.group_key or ends.node_key is not null)
        union all
        select node_key, component_key, evidence_key from " ~ next_labels) %}
    {% set gone = make_scratch('gone', "
        select node_key from " ~ relabelled ~ " union select node_key from " ~ anew) %}
    {% do apply_changes(relabelled, gone, changes) %}
    {% set told.mode = 'incremental' %}
    {% set told.touched = count_rows(gone) %}
{% endmacro %}


{# Labels of `gone` give way to those of `relabelled`; the solved edges take the changes. In place
   where the engine can, else written anew beside the old ones. #}
{% macro apply_changes(relabelled, gone, changes) %}
    {{ return(adapter.dispatch('apply_changes', 'cdp')(relabelled, gone, changes)) }}
{% endmacro %}

{% macro duckdb__apply_changes(relabelled, gone, changes) %}
    {% do run_query("delete from " ~ solved('labels') ~ " where node_key in (select node_key from " ~ gone ~ ")") %}
    {% do run_query("insert into " ~ solved('labels') ~ " select node_key, component_key, evidence_key from " ~ relabelled) %}
    {% do run_query("delete from " ~ solved('edges') ~ " as edges using " ~ changes ~ " as changes
        where not changes.is_new and edges.node_a = changes.node_a and edges.node_b = changes.node_b
        and edges.tier = changes.tier and edges.guard_key = changes.guard_key and edges.edge_order = changes.edge_order") %}
    {% do run_query("insert into " ~ solved('edges') ~ "
        select node_a, node_b, tier, guard_key, edge_order from " ~ changes ~ " where is_new") %}
{% endmacro %}

{% macro default__apply_changes(relabelled, gone, changes) %}
    {% do rewrite_solved('labels', "
        select labels.node_key, labels.component_key, labels.evidence_key
        from " ~ solved('labels') ~ " as labels
        left join " ~ gone ~ " as gone on labels.node_key = gone.node_key
        where gone.node_key is null
        union all
        select node_key, component_key, evidence_key from " ~ relabelled) %}
    {% do rewrite_solved('edges', "
        select edges.node_a, edges.node_b, edges.tier, edges.guard_key, edges.edge_order
        from " ~ solved('edges') ~ " as edges
        left join (select * from " ~ changes ~ " where not is_new) as changes
            on edges.node_a = changes.node_a and edges.node_b = changes.node_b and edges.tier = changes.tier
            and edges.guard_key = changes.guard_key and edges.edge_order = changes.edge_order
        where changes.node_a is null
        union all
        select node_a, node_b, tier, guard_key, edge_order from " ~ changes ~ " where is_new") %}
{% endmacro %}

{% macro rewrite_solved(name, sql) %}
    {% do make_solved(name ~ '_next', sql) %}
    {% do drop_table(solved(name)) %}
    {% do adapter.rename_relation(solved(name ~ '_next'), solved(name)) %}
{% endmacro %}


{# How the run went, for `identity_run_metrics`; then the rules, whose presence says that all is whole. #}
{% macro remember_solved(told, started) %}
    {% do make_solved('run', "
        select '" ~ told.mode ~ "' as solve_mode, '" ~ told.reason ~ "' as solve_reason,
            cast(" ~ told.touched ~ " as bigint) as solved_node_count,
            cast(" ~ told.rounds ~ " as bigint) as solve_rounds, cast(" ~ seconds_since(started) ~ " as double) as solve_seconds") %}
    {% do make_solved('rules', "select * from " ~ scratch('rules')) %}
{% endmacro %}
