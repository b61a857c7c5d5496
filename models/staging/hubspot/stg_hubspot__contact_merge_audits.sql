{{ staged_newest('hubspot', 'contact_merge_audit') }}
