{{ config(materialized='incremental', incremental_strategy='changed_customers') }}
-- depends_on: {{ ref('int_profile__changed_customers') }}
with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

    {{ of_changed_customers() }}

),

attribute_values as (

    {{ ranked_statements(['customer_id']) | indent(4) }}

)

select * from attribute_values
