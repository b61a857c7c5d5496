{# What people decided in the seed identity_overrides, before anything is solved by it. A mistake
   there fails the build and names its rows: nobody should find out by a wrong merge. #}

{% macro refuse_bad_overrides(overrides, told) %}
    {% set problems = run_query("
        select override_name, problem from " ~ overrides ~ " where problem is not null order by 1, 2 limit 20") %}
    {% if problems.rows | length > 0 %}
        {{ fail_components("seeds/identity_overrides.csv: " ~ described(problems.rows)) }}
    {% endif %}
    {% if count_rows(overrides, "action = 'must_link'") == 0 or count_rows(overrides, "action = 'cannot_link'") == 0 %}
        {{ return('') }}
    {% endif %}
    {% set pinned = contract_edges('pinned', make_scratch('pins', "
        select node_a as u, node_b as v from " ~ overrides ~ " where action = 'must_link'"), told) %}
    {% set contradicted = "
        select pinned_a.component_key, forbidden.override_name
        from " ~ overrides ~ " as forbidden
        inner join " ~ pinned ~ " as pinned_a on forbidden.node_a = pinned_a.node_key
        inner join " ~ pinned ~ " as pinned_b on forbidden.node_b = pinned_b.node_key
        where forbidden.action = 'cannot_link' and pinned_a.component_key = pinned_b.component_key" %}
    {% set rows = run_query("
        select contradicted.override_name, 'contradicts the must_link rows beside it' as problem
        from (" ~ contradicted ~ ") as contradicted
        union all
        select overrides.override_name, 'joins what a cannot_link row keeps apart' as problem
        from " ~ overrides ~ " as overrides
        inner join " ~ pinned ~ " as pinned on overrides.node_a = pinned.node_key
        inner join (select distinct component_key from (" ~ contradicted ~ ") as contradictions) as contradicted
            on pinned.component_key = contradicted.component_key
        where overrides.action = 'must_link'
        order by 1, 2 limit 20") %}
    {% if rows.rows | length > 0 %}
        {{ fail_components("seeds/identity_overrides.csv contradicts itself: " ~ described(rows.rows)) }}
    {% endif %}
{% endmacro %}

{% macro described(rows) %}
    {% set lines = [] %}
    {% for row in rows %}{% do lines.append(row[0] ~ ': ' ~ row[1]) %}{% endfor %}
    {{ return(lines | join('; ') ~ '. Correct the rows; nothing was replaced.') }}
{% endmacro %}
