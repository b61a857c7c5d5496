{# Every current member of an audience with the one contact point that may be used for a
   channel and purpose: the preferred one if it is permitted, else the permitted one seen last; none and a reason where there is none.
   The only way an activation model gets a contact point. #}
{% macro permitted_members(audience, channel, purpose) -%}
select
    members.customer_id,
    permissions.contact_point_type,
    case when permissions.is_permitted then permissions.contact_point end as contact_point,
    coalesce(permissions.is_permitted, false) as is_permitted,
    case
        when permissions.customer_id is null then 'no_contact_point'
        when not permissions.is_permitted then permissions.reason
    end as withheld_reason
from (
    select customer_id
    from {{ ref('audience_memberships') }}
    where audience = '{{ audience }}' and is_current
) as members
left join (
    select
        contact_permissions.*,
        row_number() over (
            partition by customer_id
            order by
                is_permitted desc,
                is_preferred desc,
                last_seen_at desc nulls last,
                contact_point asc
        ) as permission_rank
    from {{ ref('contact_permissions') }} as contact_permissions
    where channel = '{{ channel }}' and purpose = '{{ purpose }}'
) as permissions
    on members.customer_id = permissions.customer_id
    and permissions.permission_rank = 1
{%- endmacro %}
