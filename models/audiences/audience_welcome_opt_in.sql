with

customer_metrics as (

    select * from {{ ref('customer_metrics') }}

),

settings as (

    {{ audience_settings('welcome_opt_in', ['max_days_since_opt_in']) }}

),

audience as (

    select customer_metrics.customer_id

    from customer_metrics

    cross join settings

    where
        customer_metrics.is_opted_in
        and customer_metrics.order_count = 0
        and {{ days_until_as_of_date('customer_metrics.latest_opted_in_at') }}
        <= settings.max_days_since_opt_in

)

select * from audience
