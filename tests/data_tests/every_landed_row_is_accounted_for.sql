select load_id

from {{ ref('stg_landing__loads') }}

where landed_count <> loaded_count + rejected_count + duplicate_count + suppressed_count
