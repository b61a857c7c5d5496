{{ staged_newest('hubspot', 'engagement_call') }}
