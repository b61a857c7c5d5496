{{ staged_versions('hubspot', 'contact_form_submission') }}
