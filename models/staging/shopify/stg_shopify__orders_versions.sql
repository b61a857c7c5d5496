{{ staged_versions('shopify', 'order') }}
