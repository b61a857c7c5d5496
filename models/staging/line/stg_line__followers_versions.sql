{{ staged_versions('line', 'followers') }}
