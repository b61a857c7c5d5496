{{ staged_newest('subscriptions', 'subscriptions') }}
