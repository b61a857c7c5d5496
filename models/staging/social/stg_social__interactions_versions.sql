{{ staged_versions('social', 'interactions') }}
