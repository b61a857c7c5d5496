-- One line for each staged table whose declaration names identifiers: add a source here.
with

observed as (

    {{ observed_identifiers(ref('stg_shopify__customers_versions'), 'shopify', 'customer') }}
    union all
    {{ observed_identifiers(
        ref('stg_shopify__orders_versions'), 'shopify', 'order',
        condition='coalesce(staged_rows.is_test, false) = false'
    ) }}
    union all
    {{ observed_identifiers(
        ref('stg_shopify__abandoned_checkouts_versions'), 'shopify', 'abandoned_checkout'
    ) }}
    union all
    {{ observed_identifiers(ref('stg_erp__invoice_lines_versions'), 'erp', 'invoice_lines') }}
    union all
    {{ observed_identifiers(ref('stg_web__events_versions'), 'web', 'events') }}
    union all
    {{ observed_identifiers(
        ref('stg_consent__consent_events_versions'), 'consent', 'consent_events'
    ) }}

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

),

observations as (

    select
        observed.source,
        observed.table_name,
        observed.record_key,
        observed.identifier_type,
        observed.identifier_value,
        {{ md5_bigint(
            "observed.identifier_type || '|' || observed.identifier_value"
        ) }} as node_key,
        identifier_types.tier,
        identifier_types.priority,
        identifier_types.is_strong,
        min(observed.observed_at) as first_observed_at,
        max(observed.observed_at) as last_observed_at

    from observed

    inner join identifier_types
        on observed.identifier_type = identifier_types.identifier_type

    where {{ trimmed('observed.identifier_value') }} <> ''

    group by 1, 2, 3, 4, 5, 6, 7, 8, 9

)

select * from observations
