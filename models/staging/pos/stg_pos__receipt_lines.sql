{{ staged_newest('pos', 'receipt_lines') }}
