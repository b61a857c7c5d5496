select
    load_id,
    source,
    table_name,
    file as landed_file,
    status,
    rule,
    message,
    landed_count,
    loaded_count,
    rejected_count,
    duplicate_count,
    coalesce(suppressed_count, 0) as suppressed_count,
    landed_as_of
from {{ source('landing', 'loads') }}
