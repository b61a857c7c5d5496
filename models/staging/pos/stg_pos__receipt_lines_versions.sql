{{ staged_versions('pos', 'receipt_lines') }}
