{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'identity_clusters'}}}) }}
select
    customer_id,
    identifier_count

from {{ ref('identity_clusters') }}

where is_oversized
