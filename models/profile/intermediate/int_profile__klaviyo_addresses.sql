{%- set taken = taken_of_loads(this.identifier) %}
with

klaviyo_persons as (

    select * from {{ staged_rows_to_take('stg_klaviyo__persons', taken) }}

)

select
    'klaviyo' as source,
    klaviyo_person_id,
    email,
    phone,
    'stg_klaviyo__persons' as staged_model,
    record_key as staged_key

from klaviyo_persons
