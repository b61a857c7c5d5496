{# The lines are in macros/rules/contacts.sql. #}
{% for contact in contacts_of_sources() %}
select
    {{ contact_columns(contact) }}
from {{ ref(contact[3]) }}
where {{ contact[7] }}
{{ 'union all' if not loop.last }}
{% endfor %}
