{{ staged_newest('dmp', 'audience_members') }}
