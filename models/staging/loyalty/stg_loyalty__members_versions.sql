{{ staged_versions('loyalty', 'members') }}
