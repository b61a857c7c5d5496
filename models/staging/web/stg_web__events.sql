{{ staged_newest('web', 'events') }}
