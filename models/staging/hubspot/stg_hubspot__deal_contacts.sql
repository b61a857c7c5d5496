{{ staged_newest('hubspot', 'deal_contact') }}
