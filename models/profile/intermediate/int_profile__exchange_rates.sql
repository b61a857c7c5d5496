-- Each rate holds until the next one; a day before the first has none.
with

rates as (

    select * from {{ ref('stg_fx__rates') }}

),

exchange_rates as (

    select
        currency,
        rate_date as valid_from,
        coalesce(
            lead(rate_date) over (
                partition by currency
                order by rate_date asc
            ),
            {{ end_of_time() }}
        ) as valid_to,
        rate_to_reporting

    from rates

)

select * from exchange_rates
