{{ staged_versions('loyalty', 'coupons') }}
