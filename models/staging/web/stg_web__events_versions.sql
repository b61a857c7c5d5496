{{ staged_versions('web', 'events') }}
