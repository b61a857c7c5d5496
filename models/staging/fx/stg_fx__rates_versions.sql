{{ staged_versions('fx', 'rates') }}
