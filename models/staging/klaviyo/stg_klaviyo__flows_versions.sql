{{ staged_versions('klaviyo', 'flow') }}
