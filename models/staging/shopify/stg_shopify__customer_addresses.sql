{{ staged_newest('shopify', 'customer_address') }}
