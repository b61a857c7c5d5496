{{ staged_versions('shopify', 'order_line_refund') }}
