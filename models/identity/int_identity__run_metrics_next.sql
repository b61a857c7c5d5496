with

previous_metrics as (

    {{ previous_rows('identity', 'identity_run_metrics', run_metric_columns()) }}

),

registry_next as (

    select
        build_number,
        component_size

    from {{ ref('int_identity__registry_next') }}

),

identifiers as (

    select * from {{ ref('identifiers') }}

),

edges as (

    select * from {{ ref('identity_edges') }}

),

new_events as (

    select * from {{ ref('int_identity__new_events') }}

),

jitter as (

    select * from {{ ref('int_identity__jitter') }}

),

solver_run as (

    select * from {{ solved('run') }}

),

build as (

    select coalesce(max(build_number), 1) as build_number

    from registry_next

),

identifier_counts as (

    select
        count(case when status = 'active' then 1 end) as active_identifier_count,
        count(case when status = 'quarantined' then 1 end) as quarantined_identifier_count,
        count(case when status = 'expired' then 1 end) as expired_identifier_count

    from identifiers

),

edge_counts as (

    select
        count(case when status = 'active' then 1 end) as active_edge_count,
        count(case when status = 'refused' then 1 end) as refused_edge_count,
        count(case when status = 'quarantined' then 1 end) as quarantined_edge_count,
        count(case when status = 'expired' then 1 end) as expired_edge_count,
        count(case when edge_type = 'probable' and status = 'active' then 1 end)
            as probable_edge_count,
        count(case when edge_type = 'manual_link' and status = 'active' then 1 end)
            as manual_edge_count

    from edges

),

sizes as (

    select
        component_size,
        row_number() over (order by component_size desc) as size_rank

    from registry_next

    where component_size is not null

),

size_counts as (

    select
        count(*) as customer_count,
        count(case when component_size = 1 then 1 end) as customers_of_1,
        count(case when component_size between 2 and 5 then 1 end) as customers_of_2_to_5,
        count(case when component_size between 6 and 20 then 1 end) as customers_of_6_to_20,
        count(case when component_size between 21 and 100 then 1 end) as customers_of_21_to_100,
        count(case when component_size > 100 then 1 end) as customers_of_more,
        max(component_size) as largest_customer,
        cast(sum(case when size_rank <= 10 then component_size end) as double)
        / nullif(sum(component_size), 0) as top_ten_share,
        count(case when component_size > {{ var('max_cluster_size') }} then 1 end)
            as oversized_customer_count

    from sizes

),

event_counts as (

    select
        count(case when event_type = 'create' then 1 end) as create_count,
        count(case when event_type = 'merge' then 1 end) as merge_count,
        count(case when event_type = 'split' then 1 end) as split_count,
        count(case when event_type = 'restore' then 1 end) as restore_count,
        count(case when event_type = 'move' then 1 end) as move_count,
        count(case when event_type = 'retire' then 1 end) as retire_count

    from new_events

),

this_build as (

    select
        build.build_number,
        '{{ var("run_id", invocation_id) }}' as run_id,
        {{ as_of_timestamp() }} as recorded_at,
        identifier_counts.*,
        edge_counts.*,
        size_counts.*,
        event_counts.*,
        jitter.record_count,
        jitter.renumbered_count,
        jitter.renumbered_share,
        solver_run.solve_mode,
        solver_run.solve_reason,
        solver_run.solved_node_count,
        solver_run.solve_rounds,
        solver_run.solve_seconds

    from build

    cross join identifier_counts

    cross join edge_counts

    cross join size_counts

    cross join event_counts

    cross join jitter

    cross join solver_run

),

-- A build that failed after writing its row is run again under the same number.
metrics_next as (

    select previous_metrics.*

    from previous_metrics

    cross join build

    where previous_metrics.build_number < build.build_number

    union all

    select
        {{ run_metric_columns() | map('first') | join(',\n        ') }}

    from this_build

)

select * from metrics_next
