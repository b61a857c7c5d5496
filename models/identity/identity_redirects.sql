with

registry as (

    select * from {{ ref('identity_registry') }}

),

redirects as (

    select
        customer_id,
        case
            when status = 'active' then customer_id
            else merged_into
        end as current_customer_id,
        status as reason

    from registry

)

select * from redirects
