{{ staged_newest('shopify', 'order') }}
