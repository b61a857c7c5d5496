{{ staged_newest('pos', 'receipts') }}
