{{ staged_newest('shopify', 'refund') }}
