{{ staged_versions('hubspot', 'contact_merge_audit') }}
