{{ staged_versions('zendesk', 'satisfaction_rating') }}
