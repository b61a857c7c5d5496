{{ config(group='identity', meta={'dagster': {'ref': {'name': 'int_identity__observed'}}}) }}
-- A type that the seed does not know would link nobody and say nothing.
select distinct
    observed.source,
    observed.table_name,
    observed.identifier_type

from {{ ref('int_identity__observed') }} as observed

left join {{ ref('identifier_types') }} as identifier_types
    on observed.identifier_type = identifier_types.identifier_type

where identifier_types.identifier_type is null
