{{ staged_versions('loyalty', 'points_ledger') }}
