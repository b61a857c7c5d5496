{{ staged_versions('klaviyo', 'event') }}
