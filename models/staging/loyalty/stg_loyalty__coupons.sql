{{ staged_newest('loyalty', 'coupons') }}
