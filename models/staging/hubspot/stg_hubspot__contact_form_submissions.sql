{{ staged_newest('hubspot', 'contact_form_submission') }}
