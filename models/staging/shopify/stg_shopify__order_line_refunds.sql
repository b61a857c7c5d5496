{{ staged_newest('shopify', 'order_line_refund') }}
