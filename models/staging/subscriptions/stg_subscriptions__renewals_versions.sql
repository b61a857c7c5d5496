{{ staged_versions('subscriptions', 'renewals') }}
