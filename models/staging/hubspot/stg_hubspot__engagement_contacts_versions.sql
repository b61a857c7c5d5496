{{ staged_versions('hubspot', 'engagement_contact') }}
