{{ staged_versions('shopify', 'tender_transaction') }}
