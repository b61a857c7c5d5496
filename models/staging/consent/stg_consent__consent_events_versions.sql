{{ staged_versions('consent', 'consent_events') }}
