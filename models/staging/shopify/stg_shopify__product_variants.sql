{{ staged_newest('shopify', 'product_variant') }}
