{{ config(
    pre_hook="{{ solve_households(ref('int_identity__household_evidence')) }}",
) }}
-- Both work in one scratch schema, so one comes after the other.
-- depends_on: {{ ref('identity_bridges') }}
-- The hook (macros/identity/households.sql) leaves the components of customers and what they
-- share; a graph of its own, which never joins people.
with

evidence as (

    select * from {{ ref('int_identity__household_evidence') }}

),

components as (

    select * from {{ solved('households') }}

),

members as (

    select
        components.component_key,
        evidence.customer_id,
        case
            when count(distinct evidence.evidence) = 2 then 'address and phone'
            else min(evidence.evidence)
        end as evidence

    from evidence

    inner join components
        on evidence.customer_key = components.node_key

    group by 1, 2

),

sized as (

    select
        component_key,
        customer_id,
        evidence,
        count(*) over (partition by component_key) as household_size,
        min(customer_id) over (partition by component_key) as first_customer_id

    from members

),

households as (

    select
        md5('household|' || first_customer_id) as household_id,
        customer_id,
        evidence,
        household_size

    from sized

    where household_size <= {{ var('max_household_size') }}

)

select * from households
