{{ staged_versions('shopify', 'product_variant') }}
