{{ staged_versions('hubspot', 'deal') }}
