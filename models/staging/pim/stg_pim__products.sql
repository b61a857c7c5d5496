{{ staged_newest('pim', 'products') }}
