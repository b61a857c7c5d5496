{{ staged_versions('zendesk', 'ticket') }}
