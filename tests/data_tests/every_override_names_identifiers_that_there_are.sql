{{ config(
    severity='warn', group='identity',
    meta={'dagster': {'ref': {'name': 'int_identity__overrides'}}},
) }}
with

identifiers as (

    select node_key from {{ ref('identifiers') }}

    where status = 'active'

)

select overrides.override_name

from {{ ref('int_identity__overrides') }} as overrides

left join identifiers as identifier_a
    on overrides.node_a = identifier_a.node_key

left join identifiers as identifier_b
    on overrides.node_b = identifier_b.node_key

where identifier_a.node_key is null or identifier_b.node_key is null
