{{ staged_newest('ads', 'clicks') }}
