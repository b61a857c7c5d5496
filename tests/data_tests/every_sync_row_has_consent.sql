{{ config(meta={'dagster': {'ref': {'name': 'contact_permissions'}}}) }}
{# For each sync: every row with a contact point is permitted for that very point, channel
   and purpose; every row without one says why. The list comes from the manifest. #}
{%- set syncs = [] -%}
{%- if execute -%}
{%- for node in graph.nodes.values()
    if node.resource_type == 'model' and node.config.meta.get('sync') -%}
{%- do syncs.append(node) -%}
{%- endfor -%}
{%- if not syncs -%}
{{ exceptions.raise_compiler_error('No model has meta.sync.') }}
{%- endif -%}
{%- endif -%}
-- depends_on: {{ ref('contact_permissions') }}
-- depends_on: {{ ref('sync_email__welcome') }}
-- depends_on: {{ ref('sync_csv_drop__lapsing_high_value') }}
{% if not syncs %}
select 1 as parsing_only
where false
{% endif %}
{% for node in syncs %}
select
    '{{ node.name }}' as sync,
    payload.customer_id

from {{ api.Relation.create(
    database=node.database, schema=node.schema, identifier=node.name
) }} as payload

left join {{ ref('contact_permissions') }} as permissions
    on payload.customer_id = permissions.customer_id
    and payload.contact_point_type = permissions.contact_point_type
    and payload.contact_point = permissions.contact_point
    and permissions.channel = '{{ node.config.meta.sync.consent.channel }}'
    and permissions.purpose = '{{ node.config.meta.sync.consent.purpose }}'

where
    (payload.contact_point is not null and coalesce(permissions.is_permitted, false) = false)
    or (payload.contact_point is null and payload.withheld_reason is null)
    or (payload.is_permitted and payload.contact_point is null)
{{ 'union all' if not loop.last }}
{% endfor %}
