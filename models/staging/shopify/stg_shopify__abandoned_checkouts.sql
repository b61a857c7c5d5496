{{ staged_newest('shopify', 'abandoned_checkout') }}
