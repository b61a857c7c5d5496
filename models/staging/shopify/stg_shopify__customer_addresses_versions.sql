{{ staged_versions('shopify', 'customer_address') }}
