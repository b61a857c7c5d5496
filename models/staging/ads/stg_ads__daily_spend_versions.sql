{{ staged_versions('ads', 'daily_spend') }}
