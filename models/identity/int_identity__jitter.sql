with

record_customers as (

    select * from {{ ref('int_identity__record_customers') }}

),

previous_record_customers as (

    {{ previous_rows('identity', 'record_customers', record_customer_columns()) }}

),

jitter as (

    select
        count(*) as record_count,
        count(
            case
                when record_customers.customer_id <> previous_record_customers.customer_id then 1
            end
        ) as renumbered_count

    from record_customers

    inner join previous_record_customers
        on record_customers.source = previous_record_customers.source
        and record_customers.table_name = previous_record_customers.table_name
        and record_customers.record_key = previous_record_customers.record_key

)

select
    record_count,
    renumbered_count,
    renumbered_count / cast(nullif(record_count, 0) as double) as renumbered_share

from jitter
