with

contact_records as (

    select * from {{ ref('int_profile__contact_records_by_day') }}

),

attribute_values as (

    {{ ranked_statements(['customer_id', 'known_on', 'known_until']) | indent(4) }}

),

sets as (

    select
        customer_id,
        attribute_group,
        known_on,
        {{ sorted_json_set('attribute_value') }} as value_set

    from attribute_values

    where strategy = 'set_of_values' and not is_blocked

    group by 1, 2, 3

),

winners as (

    select
        attribute_values.customer_id,
        attribute_values.attribute_group,
        attribute_values.known_on,
        attribute_values.known_until,
        coalesce(sets.value_set, attribute_values.attribute_value) as attribute_value,
        attribute_values.record_source,
        attribute_values.record_key,
        attribute_values.last_said_at

    from attribute_values

    left join sets
        on attribute_values.customer_id = sets.customer_id
        and attribute_values.attribute_group = sets.attribute_group
        and attribute_values.known_on = sets.known_on

    where attribute_values.survival_rank = 1 and not attribute_values.is_blocked

),

-- A row begins where the value or who says it is another than the day before, or there was none.
compared as (

    select
        *,
        case
            when
                lag(known_until) over same_group = known_on
                and lag(attribute_value) over same_group = attribute_value
                and lag(record_source) over same_group = record_source
                then 0
            else 1
        end as begins

    from winners

    window same_group as (partition by customer_id, attribute_group order by known_on)

),

numbered as (

    select
        *,
        sum(begins) over (
            partition by customer_id, attribute_group order by known_on
        ) as period_number

    from compared

),

periods as (

    select
        customer_id,
        attribute_group,
        attribute_value,
        record_source,
        period_number,
        substr(max({{ timed_key('last_said_at', 'record_key') }}), 20) as record_key,
        min(known_on) as valid_from,
        max(coalesce(known_until, {{ end_of_time() }})) as valid_to

    from numbered

    group by 1, 2, 3, 4, 5

),

customer_history as (

    select
        customer_id,
        attribute_group,
        attribute_value,
        record_source,
        record_key,
        valid_from,
        nullif(valid_to, {{ end_of_time() }}) as valid_to,
        valid_to = {{ end_of_time() }} as is_current

    from periods

)

select * from customer_history
