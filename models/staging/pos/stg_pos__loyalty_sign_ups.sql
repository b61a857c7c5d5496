{{ staged_newest('pos', 'loyalty_sign_ups') }}
