select component_key

from {{ ref('identity_components') }}

group by 1

having min(node_key) <> component_key
