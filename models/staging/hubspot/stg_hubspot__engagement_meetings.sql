{{ staged_newest('hubspot', 'engagement_meeting') }}
