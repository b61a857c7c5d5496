{{ staged_versions('zendesk', 'user') }}
