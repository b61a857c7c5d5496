{{ staged_newest('loyalty', 'members') }}
