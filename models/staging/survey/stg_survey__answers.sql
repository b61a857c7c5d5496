{{ staged_newest('survey', 'answers') }}
