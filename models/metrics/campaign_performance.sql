-- What was spent on a campaign against what its touches brought. A campaign that nobody paid for
-- has revenue alone, one that brought nobody spend alone.
with

ad_spend as (

    select * from {{ ref('ad_spend') }}

    where reporting_amount is not null

),

order_attribution as (

    select * from {{ ref('order_attribution') }}

),

attribution_models as (

    select * from {{ ref('attribution_models') }}

),

spend as (

    select
        attribution_models.attribution_model,
        ad_spend.channel_group,
        ad_spend.campaign,
        sum(ad_spend.reporting_amount) as spend_amount,
        sum(coalesce(ad_spend.impression_count, 0)) as impression_count,
        sum(coalesce(ad_spend.click_count, 0)) as click_count

    from ad_spend

    cross join attribution_models

    group by 1, 2, 3

),

revenue as (

    select
        attribution_model,
        channel_group,
        coalesce(campaign, '(none)') as campaign,
        sum(attributed_amount) as attributed_amount,
        count(distinct order_id) as order_count

    from order_attribution

    group by 1, 2, 3

),

campaign_performance as (

    select
        coalesce(revenue.attribution_model, spend.attribution_model) as attribution_model,
        coalesce(revenue.channel_group, spend.channel_group) as channel_group,
        coalesce(revenue.campaign, spend.campaign) as campaign,
        cast(coalesce(spend.spend_amount, 0) as decimal(18, 4)) as spend_amount,
        cast(coalesce(spend.impression_count, 0) as bigint) as impression_count,
        cast(coalesce(spend.click_count, 0) as bigint) as click_count,
        cast(coalesce(revenue.attributed_amount, 0) as decimal(18, 4)) as attributed_amount,
        cast(coalesce(revenue.order_count, 0) as bigint) as order_count,
        cast(coalesce(revenue.attributed_amount, 0) as double)
        / cast(nullif(spend.spend_amount, 0) as double) as return_on_ad_spend

    from revenue

    full outer join spend
        on revenue.attribution_model = spend.attribution_model
        and revenue.channel_group = spend.channel_group
        and revenue.campaign = spend.campaign

)

select * from campaign_performance
