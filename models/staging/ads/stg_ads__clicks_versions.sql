{{ staged_versions('ads', 'clicks') }}
