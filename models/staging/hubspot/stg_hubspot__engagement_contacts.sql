{{ staged_newest('hubspot', 'engagement_contact') }}
