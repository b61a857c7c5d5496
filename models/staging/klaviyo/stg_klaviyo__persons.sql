{{ staged_newest('klaviyo', 'person') }}
