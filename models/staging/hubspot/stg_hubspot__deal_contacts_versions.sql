{{ staged_versions('hubspot', 'deal_contact') }}
