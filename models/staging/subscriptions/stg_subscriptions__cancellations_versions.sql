{{ staged_versions('subscriptions', 'cancellations') }}
