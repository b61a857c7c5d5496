{{ staged_newest('hubspot', 'engagement_note') }}
