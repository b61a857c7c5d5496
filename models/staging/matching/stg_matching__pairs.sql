select
    node_a,
    node_b,
    match_weight,
    match_probability,
    matched_on

from {{ source('matching', 'pairs') }}
