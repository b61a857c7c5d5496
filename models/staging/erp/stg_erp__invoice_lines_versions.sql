{{ staged_versions('erp', 'invoice_lines') }}
