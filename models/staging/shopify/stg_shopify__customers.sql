{{ staged_newest('shopify', 'customer') }}
