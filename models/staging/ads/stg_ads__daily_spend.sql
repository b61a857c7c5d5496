{{ staged_newest('ads', 'daily_spend') }}
