{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'stg_subscriptions__renewals'}}}) }}
-- Their orders count and are nobody's: land the subscriptions they name.
with

renewals as (

    select * from {{ ref('stg_subscriptions__renewals') }}

),

subscriptions as (

    select * from {{ ref('stg_subscriptions__subscriptions') }}

)

select
    renewals.renewal_id,
    renewals.subscription_id

from renewals

left join subscriptions
    on renewals.subscription_id = subscriptions.subscription_id

where subscriptions.subscription_id is null
