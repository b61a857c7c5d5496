{# Tables that a build brings up to date instead of making them anew.

   A model asks for it with `materialized: incremental` and one of two strategies:

   - `changed_customers`: only customers whom something new is known of
     (int_profile__changed_customers) are worked out; their rows are replaced;
   - `landed_keys` (DuckDB): of the staged tables it reads, only rows of the keys that loads
     brought since its last build; it names where each row is from in the columns staged_model
     and staged_key.

   The schema `build_state` remembers what the last build was made of: by which code, from
   which loads, of which state of each customer. It is written when dbt ends. Without a memory, or
   by other code, a table is made anew: a rule that changed counts for all of history. So is one that a
   build began on which did not end well, or which left out some of the profile: nobody knows what
   it holds. #}

{% macro build_state(name) %}
    {{ return(api.Relation.create(
        database=target.get('database'), schema=var('schema_prefix') ~ 'build_state', identifier=name, type='table'
    )) }}
{% endmacro %}

{% macro build_state_tables() %}
    {{ return({
        'unfinished': [['model_name', dbt.type_string()]],
        'code': [['model_name', dbt.type_string()], ['project_hash', dbt.type_string()], ['code_hash', dbt.type_string()]],
        'loads': [['model_name', dbt.type_string()], ['source', dbt.type_string()], ['table_name', dbt.type_string()], ['load_id', 'bigint']],
        'customer_fingerprints': [['customer_id', dbt.type_string()], ['fingerprint', fingerprint_type()]],
    }) }}
{% endmacro %}

{# Makes the empty memory before the first build. #}
{% macro prepare_build_state() %}
    {% do adapter.create_schema(build_state('any').without_identifier()) %}
    {% for name, columns in build_state_tables().items() %}
        {% do finish_state_swap(name) %}
        {% if not table_exists(build_state(name)) %}
            {% set empty %}
                select {% for column, type in columns %}cast(null as {{ type }}) as {{ column }}{{ ', ' if not loop.last }}{% endfor %}
                where 1 = 0
            {% endset %}
            {% do run_query(get_create_table_as_sql(False, build_state(name), empty)) %}
        {% endif %}
    {% endfor %}
    {% do begin_models() %}
{% endmacro %}

{# Before any table is touched: what this run begins on is unfinished, and what the last one left so is forgotten. #}
{% macro begin_models() %}
    {% set begun = [] %}
    {% for node in models_by_strategy('landed_keys') + models_by_strategy('changed_customers') if node.unique_id in selected_resources %}
        {% do begun.append(node.name) %}
    {% endfor %}
    {% if begun %}
        {% do rewrite_build_state('code', "
            select model_name, project_hash, code_hash from " ~ build_state('code') ~ "
            where model_name not in (select unfinished.model_name from " ~ build_state('unfinished') ~ " as unfinished)") %}
        {% do rewrite_build_state('unfinished', "
            select model_name from " ~ build_state('unfinished') ~ " where model_name not in (" ~ texts(begun) ~ ")
            union all select model_name from (" ~ rows_of_texts('model_name', begun) ~ ") as begun") %}
    {% endif %}
{% endmacro %}

{# Spark cannot replace a table that it reads: the next state is written beside the old one and takes its place. #}
{% macro rewrite_build_state(name, sql) %}
    {{ return(adapter.dispatch('rewrite_build_state', 'cdp')(name, sql)) }}
{% endmacro %}

{% macro duckdb__rewrite_build_state(name, sql) %}
    {% do run_query("create or replace table " ~ build_state(name) ~ " as " ~ sql) %}
{% endmacro %}

{% macro default__rewrite_build_state(name, sql) %}
    {% do drop_table(build_state(name ~ '_next')) %}
    {% do run_query(get_create_table_as_sql(False, build_state(name ~ '_next'), sql)) %}
    {% do drop_table(build_state(name)) %}
    {% do rename_state(name) %}
{% endmacro %}

{# Not by the adapter, whose cache would hold the name that was dropped before. #}
{% macro rename_state(name) %}
    {% do run_query("alter table " ~ build_state(name ~ '_next') ~ " rename to " ~ build_state(name)) %}
{% endmacro %}

{# Where that was cut short the next state is whole. #}
{% macro finish_state_swap(name) %}
    {% if not table_exists(build_state(name)) and table_exists(build_state(name ~ '_next')) %}
        {% do rename_state(name) %}
    {% endif %}
{% endmacro %}


{# dbt's own macro, which it asks wherever it must know whether a table is made anew. #}
{% macro should_full_refresh() %}
    {% set asked = config.get('full_refresh') %}
    {% if asked is none %}{% set asked = flags.FULL_REFRESH %}{% endif %}
    {% set is_ours = config.get('materialized') == 'incremental' and config.get('incremental_strategy') in ('landed_keys', 'changed_customers') %}
    {{ return(asked or (is_ours and is_of_other_code(this.identifier))) }}
{% endmacro %}

{# Whether a model's table was made by other models, seeds or settings than today's. Macros and Python
   count where `cdp` runs dbt and says their hash; who edits a macro and runs dbt alone, gives --full-refresh. #}
{% macro is_of_other_code(model_name) %}
    {% if not table_exists(build_state('code')) %}{{ return(true) }}{% endif %}
    {% set found = run_query("select project_hash, code_hash from " ~ build_state('code') ~ " where model_name = '" ~ model_name ~ "'").rows %}
    {% if found | length == 0 %}{{ return(true) }}{% endif %}
    {% set code_hash = env_var('CDP_CODE_HASH', '') %}
    {{ return(found[0][0] != project_hash() or (code_hash != '' and found[0][1] not in ('', none, code_hash))) }}
{% endmacro %}

{% macro project_hash() %}
    {% set parts = [var('default_survivorship_priority') | string] %}
    {% for node in graph.nodes.values() if node.resource_type in ('model', 'seed') %}
        {% do parts.append(node.unique_id ~ ' ' ~ node.checksum.checksum) %}
    {% endfor %}
    {{ return(local_md5(parts | sort | join('\n'))) }}
{% endmacro %}


{# When dbt ends: what the models that succeeded were made of; those of the profile where none was left out. #}
{% macro remember_build(results) %}
    {% if execute and flags.WHICH in ('run', 'build') %}
        {% set loaded, profiled, finished = [], [], [] %}
        {# Tables that dbt made of no rows or of some are made anew by the next build. #}
        {% set hash = '' if flags.EMPTY or flags.SAMPLE else project_hash() %}
        {% for result in results if result.status == 'success' and result.node.config.materialized == 'incremental' %}
            {% if result.node.config.incremental_strategy == 'landed_keys' %}{% do loaded.append(result.node) %}{% endif %}
            {% if result.node.config.incremental_strategy == 'changed_customers' %}{% do profiled.append(result.node.name) %}{% endif %}
        {% endfor %}
        {% do finished.extend(loaded | map(attribute='name')) %}
        {% if profiled and profiled | length == models_by_strategy('changed_customers') | length %}
            {% do finished.extend(profiled) %}
            {% do rewrite_build_state('customer_fingerprints', "
                select customer_id, fingerprint from " ~ history_relation('profile', 'int_profile__customer_fingerprints')) %}
        {% endif %}
        {% if loaded %}{% do remember_loads(loaded) %}{% endif %}
        {% if finished %}
            {% do rewrite_build_state('code', "
                select model_name, project_hash, code_hash from " ~ build_state('code') ~ " where model_name not in (" ~ texts(finished) ~ ")
                union all
                select model_name, '" ~ hash ~ "' as project_hash, '" ~ env_var('CDP_CODE_HASH', '') ~ "' as code_hash
                from (" ~ rows_of_texts('model_name', finished) ~ ") as finished") %}
            {% do rewrite_build_state('unfinished', "
                select model_name from " ~ build_state('unfinished') ~ " where model_name not in (" ~ texts(finished) ~ ")") %}
        {% endif %}
    {% endif %}
{% endmacro %}

{% macro models_by_strategy(strategy) %}
    {{ return(graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
        | selectattr('config.incremental_strategy', 'equalto', strategy)
        | selectattr('config.materialized', 'equalto', 'incremental') | list) }}
{% endmacro %}

{% macro texts(names) %}{{ return("'" ~ names | join("', '") ~ "'") }}{% endmacro %}

{% macro rows_of_texts(column, names) %}
    {%- for name in names %}select '{{ name }}' as {{ column }}{{ ' union all ' if not loop.last }}{% endfor -%}
{% endmacro %}

{% macro remember_loads(nodes) %}
    {% set now = [] %}
    {% for node in nodes %}
        {% for staged in staged_tables_of(node) %}
            {% do now.append("
                select '" ~ node.name ~ "' as model_name, source, table_name, cast(load_id as bigint) as load_id
                from " ~ current_loads_relation() ~ "
                where source = '" ~ staged.source_name ~ "' and table_name = '" ~ staged.table_name ~ "'") %}
        {% endfor %}
    {% endfor %}
    {% do rewrite_build_state('loads', "
        select model_name, source, table_name, load_id from " ~ build_state('loads') ~ "
        where model_name not in (" ~ texts(nodes | map(attribute='name')) ~ ")
        union all " ~ now | join(' union all ')) %}
{% endmacro %}


{# Replaces the rows of customers whom something new is known of. #}
{% macro get_incremental_changed_customers_sql(arguments) %}
    {% set columns = arguments.dest_columns | map(attribute='quoted') | join(', ') %}
    delete from {{ arguments.target_relation }}
    where customer_id in (select customer_id from {{ history_relation('profile', 'int_profile__changed_customers') }});

    insert into {{ arguments.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arguments.temp_relation }}
{% endmacro %}

{# dbt's is_incremental; a unit test's model has no table of its own. #}
{% macro is_brought_up_to_date() %}{{ return(this is not none and is_incremental()) }}{% endmacro %}

{# A CTE's condition that leaves the customers of whom nothing new is known; none where all are worked out. #}
{% macro of_changed_customers(first='where') -%}
{%- if is_brought_up_to_date() -%}
{{ first }} customer_id in (select changed.customer_id from {{ ref('int_profile__changed_customers') }} as changed)
{%- endif -%}
{%- endmacro %}

{# What is known of a customer in one number: two of the same rows are the same. #}
{% macro fingerprint_type() %}{{ return(adapter.dispatch('fingerprint_type', 'cdp')()) }}{% endmacro %}
{% macro default__fingerprint_type() %}{{ return('bigint') }}{% endmacro %}
{% macro duckdb__fingerprint_type() %}{{ return('ubigint') }}{% endmacro %}

{% macro row_fingerprint(columns) %}{{ return(adapter.dispatch('row_fingerprint', 'cdp')(columns)) }}{% endmacro %}
{% macro default__row_fingerprint(columns) %}{{ return('xxhash64(' ~ columns | join(', ') ~ ')') }}{% endmacro %}
{% macro duckdb__row_fingerprint(columns) %}{{ return('hash(' ~ columns | join(', ') ~ ')') }}{% endmacro %}


{# Staged models that a model reads, with the raw table of each. #}
{% macro staged_tables_of(node) %}
    {% set found = [] %}
    {% for unique_id in node.depends_on.nodes if unique_id.split('.')[-1].startswith('stg_') %}
        {% set staged = staged_table(unique_id.split('.')[-1]) %}
        {% if staged is not none %}{% do found.append(staged) %}{% endif %}
    {% endfor %}
    {{ return(found) }}
{% endmacro %}

{% macro staged_table(model_name) %}
    {% for unique_id in graph.nodes['model.' ~ project_name ~ '.' ~ model_name].depends_on.nodes %}
        {% if unique_id in graph.sources and graph.sources[unique_id].source_name != 'landing' %}
            {% set raw = graph.sources[unique_id] %}
            {{ return({'model': model_name, 'source_name': raw.source_name, 'table_name': raw.name, 'raw': raw}) }}
        {% endif %}
    {% endfor %}
    {{ return(none) }}
{% endmacro %}

{% macro raw_relation(raw) %}
    {{ return(api.Relation.create(
        database=raw.database, schema=var('schema_prefix') ~ raw.schema, identifier=raw.identifier, type='table'
    )) }}
{% endmacro %}

{% macro current_loads_relation() %}
    {{ return(raw_relation(graph.sources['source.' ~ project_name ~ '.landing.current_loads'])) }}
{% endmacro %}

{% macro new_loads(model_name, staged) -%}
select current_loads.load_id
from {{ current_loads_relation() }} as current_loads
left join {{ build_state('loads') }} as known
    on known.model_name = '{{ model_name }}'
    and current_loads.source = known.source
    and current_loads.table_name = known.table_name
    and current_loads.load_id = known.load_id
where
    current_loads.source = '{{ staged.source_name }}'
    and current_loads.table_name = '{{ staged.table_name }}'
    and known.load_id is null
{%- endmacro %}

{# What a model takes of the staged tables it reads, by the raw table: `all`, where it is made anew or a load that it was
   made of counts no longer; `new`; nothing is said of a table without a new load. None where the model itself is
   made anew. #}
{% macro taken_of_loads(model_name) %}
    {% if not is_brought_up_to_date() %}{{ return(none) }}{% endif %}
    {% set taken = {} %}
    {% set found = run_query("
        select source, table_name, max(case when is_gone then 1 else 0 end) as is_any_gone
        from (
            select
                coalesce(known.source, current_loads.source) as source,
                coalesce(known.table_name, current_loads.table_name) as table_name,
                current_loads.load_id is null as is_gone,
                known.load_id is null as is_new
            from (select * from " ~ build_state('loads') ~ " where model_name = '" ~ model_name ~ "') as known
            full outer join " ~ current_loads_relation() ~ " as current_loads
                on known.source = current_loads.source and known.table_name = current_loads.table_name
                and known.load_id = current_loads.load_id
        ) as loads
        where is_gone or is_new
        group by 1, 2") %}
    {% for row in found.rows %}
        {% do taken.update({row[0] ~ '.' ~ row[1]: 'all' if row[2] else 'new'}) %}
    {% endfor %}
    {{ return(taken) }}
{% endmacro %}

{# A staged model as a model reads it that is brought up to date by `landed_keys`; `taken` is taken_of_loads of the model.
   DuckDB would rank a whole raw table to filter the view; so the view's own query is asked for the new keys alone. #}
{% macro staged_rows_to_take(staged_model, taken) %}
    {% set relation = ref(staged_model) %}
    {% if taken is none %}{{ return(relation) }}{% endif %}
    {% set staged = staged_table(staged_model) %}
    {% set told = taken.get(staged.source_name ~ '.' ~ staged.table_name) %}
    {% if told == 'new' %}{{ return('(' ~ staged_of_loads(staged, new_loads(this.identifier, staged)) ~ ')') }}{% endif %}
    {{ return(relation if told == 'all' else '(select * from ' ~ relation ~ ' where false)') }}
{% endmacro %}

{% macro get_incremental_landed_keys_sql(arguments) %}
    {% set columns = arguments.dest_columns | map(attribute='quoted') | join(', ') %}
    {% set told = taken_of_loads(this.identifier) %}
    {% for staged in staged_tables_of(model) %}
        {% set taken = told.get(staged.source_name ~ '.' ~ staged.table_name) %}
        {% if taken %}
    delete from {{ arguments.target_relation }}
    where
        staged_model = '{{ staged.model }}'
        {% if taken == 'new' and staged.raw.config.meta.get('key') %}
        and staged_key in (
            select {{ record_key_of(staged.raw.config.meta.key, 'raw_rows') }} from {{ raw_relation(staged.raw) }} as raw_rows
            where raw_rows._load_id in ({{ new_loads(this.identifier, staged) }})
        )
        {% elif taken == 'new' %}
        {# Without a key nothing gives way to what is new; what a build that died left does. #}
        and staged_key in (select staged_key from {{ arguments.temp_relation }} where staged_model = '{{ staged.model }}')
        {% endif %};
        {% endif %}
    {% endfor %}

    insert into {{ arguments.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arguments.temp_relation }}
{% endmacro %}
