{{ staged_versions('pos', 'loyalty_sign_ups') }}
