{{ staged_versions('line', 'events') }}
