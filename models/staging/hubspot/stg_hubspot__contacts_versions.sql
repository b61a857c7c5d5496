{{ staged_versions('hubspot', 'contact') }}
