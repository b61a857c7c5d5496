{{ staged_versions('klaviyo', 'campaign') }}
