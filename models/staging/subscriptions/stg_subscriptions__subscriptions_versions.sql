{{ staged_versions('subscriptions', 'subscriptions') }}
