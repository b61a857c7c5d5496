{{ staged_versions('pim', 'price_stock') }}
