{%- set taken = taken_of_loads(this.identifier) %}
with

web_events as (

    select * from {{ staged_rows_to_take('stg_web__events', taken) }}

    where push_token is not null

)

select
    record_key,
    push_token,
    occurred_at,
    'stg_web__events' as staged_model,
    record_key as staged_key

from web_events
