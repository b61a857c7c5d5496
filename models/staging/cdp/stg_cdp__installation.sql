select salt as installation_salt
from {{ source('cdp', 'installation') }}
