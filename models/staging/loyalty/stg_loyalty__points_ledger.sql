{{ staged_newest('loyalty', 'points_ledger') }}
