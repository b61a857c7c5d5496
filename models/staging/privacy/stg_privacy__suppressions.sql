select
    contact_point_type,
    contact_point,
    suppressed_at

from {{ source('privacy', 'suppressions') }}
