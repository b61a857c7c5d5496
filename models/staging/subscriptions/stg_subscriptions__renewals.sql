{{ staged_newest('subscriptions', 'renewals') }}
