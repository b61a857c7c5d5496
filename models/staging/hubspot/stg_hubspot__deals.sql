{{ staged_newest('hubspot', 'deal') }}
