select count(*) as salt_count

from {{ ref('stg_cdp__installation') }}

having count(*) <> 1
