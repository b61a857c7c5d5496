{{ staged_versions('shopify', 'product') }}
