with

contact_records as (

    select * from {{ ref('int_profile__contact_records') }}

),

attribute_values as (

    {{ ranked_statements(['customer_id']) | indent(4) }}

)

select * from attribute_values
