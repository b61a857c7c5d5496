with

daily_spend as (

    select * from {{ ref('stg_ads__daily_spend') }}

),

ads_spend as (

    select
        'ads' as source,
        network,
        campaign_id,
        coalesce(utm_campaign, {{ normalise_code('campaign_name') }}, campaign_id) as campaign,
        spend_date,
        currency,
        impression_count,
        click_count,
        spend_amount

    from daily_spend

)

select * from ads_spend
