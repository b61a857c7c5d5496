{{ staged_versions('shopify', 'customer') }}
