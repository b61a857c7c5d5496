{{ config(materialized='incremental', incremental_strategy='changed_customers') }}
-- depends_on: {{ ref('int_profile__changed_customers') }}
with

contact_points as (

    select * from {{ ref('int_profile__contact_points') }}

    {{ of_changed_customers() }}

),

newest_signals as (

    select * from {{ ref('int_profile__reachability') }}

),

customers as (

    select * from {{ ref('customers') }}

    {{ of_changed_customers() }}

),

judged as (

    select
        contact_points.customer_id,
        contact_points.contact_point_type,
        contact_points.contact_point,
        contact_points.first_seen_at,
        contact_points.last_seen_at,
        contact_points.is_usable
        and case contact_points.contact_point_type
            when 'email'
                then {{ matches('contact_points.contact_point', "'^[^@ ]+@[^@ ]+[.][^@ .]+$'") }}
            when 'phone'
                then {{ matches('contact_points.contact_point', "'^[+][1-9][0-9]{6,14}$'") }}
            else true
        end as is_valid,
        newest_signals.reachability,
        newest_signals.occurred_at as reachability_since,
        newest_signals.source as reachability_source,
        coalesce(
            contact_points.contact_point = case contact_points.contact_point_type
                when 'email' then customers.email
                when 'phone' then customers.phone
                when 'postal_address' then concat_ws(
                    ', ',
                    customers.address_line,
                    customers.postal_code,
                    customers.city,
                    customers.region,
                    customers.country_code
                )
            end,
            false
        ) as is_golden

    from contact_points

    left join newest_signals
        on contact_points.contact_point_type = newest_signals.contact_point_type
        and contact_points.contact_point = newest_signals.contact_point

    left join customers
        on contact_points.customer_id = customers.customer_id

),

reached as (

    select
        customer_id,
        contact_point_type,
        contact_point,
        first_seen_at,
        last_seen_at,
        is_valid,
        case
            when not is_valid then 'invalid'
            else coalesce(reachability, 'unknown')
        end as reachability,
        reachability_since,
        reachability_source,
        is_golden,
        is_valid and coalesce(reachability, 'unknown') in ('reachable', 'unknown') as is_reachable

    from judged

),

ranked as (

    select
        *,
        row_number() over (
            partition by customer_id, contact_point_type
            order by
                is_reachable desc, is_golden desc, last_seen_at desc nulls last, contact_point asc
        ) as preference_rank,
        count(case when is_reachable then 1 end) over (
            partition by customer_id, contact_point_type
        ) as reachable_count

    from reached

),

preferred as (

    select
        customer_id,
        contact_point_type,
        contact_point,
        is_valid,
        reachability,
        is_reachable,
        reachability_since,
        reachability_source,
        preference_rank = 1 and is_reachable as is_preferred,
        case
            when not is_reachable then reachability
            when preference_rank > 1 then 'another_is_preferred'
            when reachable_count = 1 then 'only_reachable'
            when is_golden then 'golden_record'
            else 'seen_last'
        end as preference_reason,
        first_seen_at,
        last_seen_at

    from ranked

)

select * from preferred
