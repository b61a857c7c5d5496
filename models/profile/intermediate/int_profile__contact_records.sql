{{ config(materialized='incremental', incremental_strategy='changed_customers') }}
-- depends_on: {{ ref('int_profile__changed_customers') }}
with

record_customers as (

    select * from {{ ref('record_customers') }}

    {{ of_changed_customers() }}

),

junk as (

    {{ junk_identifiers() | indent(4) }}

),

records as (

    select
        record_customers.customer_id,
        contacts.*

    from {{ ref('int_identity__contacts_of_sources') }} as contacts

    inner join record_customers
        on contacts.source = record_customers.source
        and contacts.table_name = record_customers.table_name
        and contacts.record_key = record_customers.record_key

),

contact_records as (

    {{ grouped_statements(['customer_id']) | indent(4) }}

)

select * from contact_records
