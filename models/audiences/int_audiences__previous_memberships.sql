{{ config(materialized='view') }}
with

previous_memberships as (

    {{ previous_rows('audiences', 'audience_memberships', membership_columns()) }}

)

select * from previous_memberships
