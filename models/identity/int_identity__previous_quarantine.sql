{{ config(materialized='view') }}
with

previous_quarantine as (

    {{ previous_rows('identity', 'identity_quarantine', quarantine_columns()) }}

)

select * from previous_quarantine
