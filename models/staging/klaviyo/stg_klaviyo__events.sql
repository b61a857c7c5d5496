{{ staged_newest('klaviyo', 'event') }}
