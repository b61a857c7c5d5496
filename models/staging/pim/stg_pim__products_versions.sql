{{ staged_versions('pim', 'products') }}
