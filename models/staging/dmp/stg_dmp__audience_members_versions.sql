{{ staged_versions('dmp', 'audience_members') }}
