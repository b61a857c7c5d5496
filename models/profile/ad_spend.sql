with

ads_spend as (

    select * from {{ ref('int_profile__ads_spend') }}

),

exchange_rates as (

    select * from {{ ref('int_profile__exchange_rates') }}

),

channel_groups as (

    select * from {{ ref('channel_groups') }}

    where field = 'network'

),

networks as (

    select
        ads_spend.network,
        min(channel_groups.precedence) as precedence

    from ads_spend

    inner join channel_groups
        on {{ matches('ads_spend.network', 'channel_groups.pattern') }}

    group by 1

),

priced as (

    select
        ads_spend.*,
        coalesce(channel_groups.channel_group, 'other') as channel_group,
        case
            when ads_spend.currency = '{{ var("reporting_currency") }}'
                then cast(1 as decimal(18, 8))
            else exchange_rates.rate_to_reporting
        end as rate_to_reporting

    from ads_spend

    left join exchange_rates
        on ads_spend.currency = exchange_rates.currency
        and ads_spend.spend_date >= exchange_rates.valid_from
        and ads_spend.spend_date < exchange_rates.valid_to

    left join networks
        on ads_spend.network = networks.network

    left join channel_groups
        on networks.precedence = channel_groups.precedence

),

ad_spend as (

    select
        network,
        campaign_id,
        campaign,
        channel_group,
        spend_date,
        cast(impression_count as bigint) as impression_count,
        cast(click_count as bigint) as click_count,
        cast(spend_amount as decimal(18, 4)) as spend_amount,
        currency,
        cast(round(
            cast(spend_amount as decimal(18, 4)) * cast(rate_to_reporting as decimal(18, 8)), 4
        ) as decimal(18, 4)) as reporting_amount

    from priced

)

select * from ad_spend
