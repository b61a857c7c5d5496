{{ staged_newest('pim', 'price_stock') }}
