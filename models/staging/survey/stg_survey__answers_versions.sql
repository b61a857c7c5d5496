{{ staged_versions('survey', 'answers') }}
