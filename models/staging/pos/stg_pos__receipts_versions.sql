{{ staged_versions('pos', 'receipts') }}
