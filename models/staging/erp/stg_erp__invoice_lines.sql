{{ staged_newest('erp', 'invoice_lines') }}
