{{ staged_newest('line', 'events') }}
