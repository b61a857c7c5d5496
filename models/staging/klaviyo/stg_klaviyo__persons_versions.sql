{{ staged_versions('klaviyo', 'person') }}
