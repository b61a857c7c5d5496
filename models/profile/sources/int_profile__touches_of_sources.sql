{# One line for each kind of touch that a staged table holds: add a source here. Where a touch needs more
   than one table, it has a model of its own. Whose a touch is, is told by a record: its own, or the
   one it names by `record_key` in `record_table`. #}
{%- set told_by_models = [
    ref('int_profile__web_touches'),
    ref('int_profile__shopify_touches'),
    ref('int_profile__pos_touches'),
    ref('int_profile__hubspot_touches'),
    ref('int_profile__loyalty_touches'),
] -%}
{%- set told_by_tables = [
    {'source_name': 'consent', 'table_name': 'consent_events',
        'relation': ref('stg_consent__consent_events'), 'occurred_at': 'captured_at',
        'channel': 'channel', 'activity': "'consent_' || status",
        'features': ['purpose', 'contact_point_type']},
    {'source_name': 'pos', 'table_name': 'loyalty_sign_ups',
        'relation': ref('stg_pos__loyalty_sign_ups'), 'occurred_at': 'signed_up_at',
        'channel': "'store'", 'activity': "'loyalty_signed_up'", 'features': ['store_id']},
    {'source_name': 'hubspot', 'table_name': 'contact_form_submission',
        'relation': ref('stg_hubspot__contact_form_submissions'), 'occurred_at': 'submitted_at',
        'channel': "'web'", 'activity': "'form_submitted'", 'features': ['form_id']},
    {'source_name': 'klaviyo', 'table_name': 'event', 'relation': ref('stg_klaviyo__events'),
        'occurred_at': 'occurred_at', 'channel': "'email'", 'activity': 'event_type',
        'features': ['campaign_id', 'flow_id', 'bounce_type'], 'condition': 'not is_deleted',
        'record_table': 'person', 'record_key': 'klaviyo_person_id'},
    {'source_name': 'zendesk', 'table_name': 'ticket', 'relation': ref('stg_zendesk__tickets'),
        'occurred_at': 'created_at', 'channel': "'service'", 'activity': "'ticket_opened'",
        'features': ['zendesk_ticket_id', 'priority', 'via_channel'],
        'condition': 'not is_deleted',
        'record_table': 'user', 'record_key': 'zendesk_user_id'},
    {'source_name': 'zendesk', 'table_name': 'satisfaction_rating',
        'relation': ref('stg_zendesk__satisfaction_ratings'),
        'occurred_at': 'coalesce(updated_at, created_at)', 'channel': "'service'",
        'activity': "'ticket_rated_' || score", 'features': ['zendesk_ticket_id', 'score'],
        'condition': "score in ('good', 'bad')",
        'record_table': 'user', 'record_key': 'zendesk_user_id'},
    {'source_name': 'line', 'table_name': 'events', 'relation': ref('stg_line__events'),
        'occurred_at': 'occurred_at', 'channel': "'line'", 'activity': 'event_type',
        'features': ['message_type', 'link_result']},
    {'source_name': 'social', 'table_name': 'interactions',
        'relation': ref('stg_social__interactions'), 'occurred_at': 'occurred_at',
        'channel': "'social'", 'activity': 'interaction_type',
        'features': ['network', 'post_id']},
    {'source_name': 'ads', 'table_name': 'clicks', 'relation': ref('stg_ads__clicks'),
        'occurred_at': 'clicked_at', 'channel': "'ads'", 'activity': "'ad_clicked'",
        'features': ['network', 'campaign_id']},
    {'source_name': 'survey', 'table_name': 'answers', 'relation': ref('stg_survey__answers'),
        'occurred_at': 'answered_at', 'channel': "'survey'",
        'activity': "question_type || '_answered'", 'features': ['survey_id', 'question_id']},
    {'source_name': 'loyalty', 'table_name': 'members',
        'relation': ref('stg_loyalty__members'), 'occurred_at': 'joined_at',
        'channel': "'loyalty'", 'activity': "'loyalty_joined'", 'features': ['loyalty_tier']},
    {'source_name': 'subscriptions', 'table_name': 'subscriptions',
        'relation': ref('stg_subscriptions__subscriptions'), 'occurred_at': 'started_at',
        'channel': "'subscription'", 'activity': "'subscription_started'",
        'features': ['subscription_id', 'plan_name']},
    {'source_name': 'subscriptions', 'table_name': 'renewals',
        'relation': ref('stg_subscriptions__renewals'), 'occurred_at': 'renewed_at',
        'channel': "'subscription'", 'activity': "'renewal_' || renewal_status",
        'features': ['subscription_id'],
        'record_table': 'subscriptions', 'record_key': 'subscription_id'},
    {'source_name': 'subscriptions', 'table_name': 'cancellations',
        'relation': ref('stg_subscriptions__cancellations'), 'occurred_at': 'cancelled_at',
        'channel': "'subscription'", 'activity': "'subscription_cancelled'",
        'features': ['subscription_id', 'cancellation_reason'],
        'record_table': 'subscriptions', 'record_key': 'subscription_id'},
] -%}
{% for relation in told_by_models %}
select * from {{ relation }}
union all
{% endfor %}
{% for touch in told_by_tables %}
{{ touches_of(**touch) }}
{{ 'union all' if not loop.last }}
{% endfor %}
