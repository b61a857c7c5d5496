{{ staged_newest('zendesk', 'satisfaction_rating') }}
