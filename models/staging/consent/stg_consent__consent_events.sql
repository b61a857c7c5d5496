{{ staged_newest('consent', 'consent_events') }}
