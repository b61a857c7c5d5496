{{ staged_newest('social', 'interactions') }}
