with

periods as (

    select
        node_key,
        valid_from,
        valid_to,
        lead(valid_from) over (
            partition by node_key
            order by valid_from asc, customer_id asc
        ) as next_valid_from

    from {{ ref('identity_map') }}

)

select node_key

from periods

where
    next_valid_from is not null
    and (valid_to is null or valid_to > next_valid_from)
