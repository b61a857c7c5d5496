{{ staged_versions('hubspot', 'engagement_meeting') }}
