{{ config(materialized='view') }}
with

previous_registry as (

    {{ previous_rows('identity', 'identity_registry', registry_columns()) }}

)

select * from previous_registry
