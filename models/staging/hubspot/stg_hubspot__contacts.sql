{{ staged_newest('hubspot', 'contact') }}
