{{ config(materialized='incremental', incremental_strategy='changed_customers') }}
-- depends_on: {{ ref('int_profile__changed_customers') }}
with

attribute_values as (

    select * from {{ ref('int_profile__attribute_values') }}

    {{ of_changed_customers() }}

),

-- Beside each statement the one that won, to say what decided between the two.
compared as (

    select
        *,
        first_value(survival_score) over (
            partition by customer_id, attribute_group order by survival_rank
        ) as winning_score,
        first_value(field_count) over (
            partition by customer_id, attribute_group order by survival_rank
        ) as winning_field_count,
        first_value(priority) over (
            partition by customer_id, attribute_group order by survival_rank
        ) as winning_priority,
        first_value(last_said_at) over (
            partition by customer_id, attribute_group order by survival_rank
        ) as winning_said_at

    from attribute_values

),

customer_attributes as (

    select
        customer_id,
        attribute_group,
        attribute_value,
        record_source,
        source,
        table_name,
        record_key,
        first_said_at,
        last_said_at,
        record_count,
        priority,
        field_count,
        strategy,
        case
            when is_blocked then 'blocked'
            when survival_rank = 1 then 'won'
            when strategy = 'set_of_values' then 'kept'
            else 'lost'
        end as outcome,
        case
            when is_blocked then 'blocked_value'
            when survival_rank = 1 then strategy
            when strategy = 'set_of_values' then strategy
            when survival_score is null or survival_score < winning_score then strategy
            when field_count < winning_field_count then 'less_complete'
            when priority > winning_priority then 'less_trusted_source'
            when last_said_at is null or last_said_at < winning_said_at then 'older'
            else 'tie_broken_by_source_and_record'
        end as outcome_reason,
        survival_rank

    from compared

)

select * from customer_attributes
