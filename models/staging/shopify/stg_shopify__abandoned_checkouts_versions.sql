{{ staged_versions('shopify', 'abandoned_checkout') }}
