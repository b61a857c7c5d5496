with

identifiers as (

    select * from {{ ref('identifiers') }}

    where status <> 'active'

)

select identity_edges.node_a

from {{ ref('identity_edges') }} as identity_edges

inner join identifiers
    on identifiers.node_key in (identity_edges.node_a, identity_edges.node_b)

where identity_edges.status = 'active'
