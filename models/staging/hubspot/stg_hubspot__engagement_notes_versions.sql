{{ staged_versions('hubspot', 'engagement_note') }}
