{{ staged_newest('shopify', 'product') }}
