{{ config(meta={'dagster': {'ref': {'name': 'identity_edges'}}}) }}
with

identifiers as (

    select node_key from {{ ref('identifiers') }}

    where status <> 'active'

),

ends as (

    select node_a as node_key from {{ ref('identity_edges') }}

    where status = 'active'

    union all

    select node_b as node_key from {{ ref('identity_edges') }}

    where status = 'active'

)

select ends.node_key

from ends

inner join identifiers
    on ends.node_key = identifiers.node_key
