{{ staged_newest('zendesk', 'ticket') }}
