{{ staged_newest('line', 'followers') }}
