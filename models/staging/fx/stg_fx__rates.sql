{{ staged_newest('fx', 'rates') }}
