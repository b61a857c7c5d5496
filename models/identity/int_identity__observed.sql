{# One line for each staged table whose declaration names identifiers: add a source here. #}
{%- set observed = [
    ['shopify', 'customer', ref('stg_shopify__customers_versions'), none],
    ['shopify', 'order', ref('stg_shopify__orders_versions'),
        'coalesce(staged_rows.is_test, false) = false'],
    ['shopify', 'abandoned_checkout', ref('stg_shopify__abandoned_checkouts_versions'), none],
    ['erp', 'invoice_lines', ref('stg_erp__invoice_lines_versions'), none],
    ['web', 'events', ref('stg_web__events_versions'),
        is_visitor('staged_rows', ref('excluded_traffic'))],
    ['consent', 'consent_events', ref('stg_consent__consent_events_versions'), none],
    ['pos', 'receipts', ref('stg_pos__receipts_versions'), none],
    ['pos', 'loyalty_sign_ups', ref('stg_pos__loyalty_sign_ups_versions'), none],
    ['hubspot', 'contact', ref('stg_hubspot__contacts_versions'), none],
    ['hubspot', 'contact_merge_audit', ref('stg_hubspot__contact_merge_audits_versions'), none],
    ['hubspot', 'contact_form_submission',
        ref('stg_hubspot__contact_form_submissions_versions'), none],
    ['klaviyo', 'person', ref('stg_klaviyo__persons_versions'), none],
    ['zendesk', 'user', ref('stg_zendesk__users_versions'), "staged_rows.user_role = 'end-user'"],
    ['line', 'events', ref('stg_line__events_versions'), none],
    ['line', 'followers', ref('stg_line__followers_versions'), none],
    ['social', 'interactions', ref('stg_social__interactions_versions'), none],
    ['ads', 'clicks', ref('stg_ads__clicks_versions'), none],
    ['survey', 'answers', ref('stg_survey__answers_versions'), none],
    ['loyalty', 'members', ref('stg_loyalty__members_versions'), none],
    ['loyalty', 'points_ledger', ref('stg_loyalty__points_ledger_versions'), none],
    ['loyalty', 'coupons', ref('stg_loyalty__coupons_versions'), none],
    ['subscriptions', 'subscriptions', ref('stg_subscriptions__subscriptions_versions'), none],
] -%}
{% for source_name, table_name, relation, condition in observed %}
{{ observed_identifiers(relation, source_name, table_name, condition) }}
{{ 'union all' if not loop.last }}
{% endfor %}
