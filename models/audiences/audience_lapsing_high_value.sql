with

customer_metrics as (

    select * from {{ ref('customer_metrics') }}

),

settings as (

    {{ audience_settings(
        'lapsing_high_value',
        ['min_days_since_order', 'below_days_since_order', 'min_monetary_score']
    ) }}

),

audience as (

    select customer_metrics.customer_id

    from customer_metrics

    cross join settings

    where
        customer_metrics.m_score >= settings.min_monetary_score
        and customer_metrics.days_since_latest_order >= settings.min_days_since_order
        and customer_metrics.days_since_latest_order < settings.below_days_since_order

)

select * from audience
