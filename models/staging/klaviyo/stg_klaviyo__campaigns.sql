{{ staged_newest('klaviyo', 'campaign') }}
