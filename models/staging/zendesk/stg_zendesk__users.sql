{{ staged_newest('zendesk', 'user') }}
