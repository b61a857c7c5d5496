{{ staged_newest('subscriptions', 'cancellations') }}
