{{ staged_newest('klaviyo', 'flow') }}
