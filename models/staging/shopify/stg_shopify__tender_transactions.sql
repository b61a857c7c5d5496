{{ staged_newest('shopify', 'tender_transaction') }}
