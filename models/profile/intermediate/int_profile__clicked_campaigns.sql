-- A click id tells its campaign, also where the address did not.
with

clicks as (

    select * from {{ ref('stg_ads__clicks') }}

),

ads_spend as (

    select * from {{ ref('int_profile__ads_spend') }}

),

names as (

    select
        network,
        campaign_id,
        min(campaign) as campaign

    from ads_spend

    group by 1, 2

),

clicked_campaigns as (

    select
        clicks.click_id,
        clicks.network,
        coalesce(names.campaign, clicks.campaign_id) as campaign

    from clicks

    left join names
        on clicks.network = names.network
        and clicks.campaign_id = names.campaign_id

)

select * from clicked_campaigns
