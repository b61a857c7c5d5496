{{ config(materialized='view') }}
with

previous_map as (

    {{ previous_rows('identity', 'identity_map', map_columns()) }}

)

select * from previous_map
