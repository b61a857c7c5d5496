{{ staged_versions('shopify', 'refund') }}
