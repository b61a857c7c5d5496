{{ staged_versions('hubspot', 'engagement_call') }}
