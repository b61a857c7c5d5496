{#- All that the golden record and contact points of a customer come from, row by row. Rules are
   not among it: where they change, all is made anew. -#}
with

contacts as (

    select * from {{ ref('int_identity__contacts_of_sources') }}

),

record_customers as (

    select * from {{ ref('record_customers') }}

),

push_tokens as (

    select * from {{ ref('int_profile__push_tokens') }}

),

web_customers as (

    select
        record_key,
        customer_id

    from {{ ref('record_customers') }}

    where source = 'web' and table_name = 'events'

),

customer_identifiers as (

    select * from {{ ref('customer_identifiers') }}

),

reachability as (

    select
        contact_point_type,
        contact_point,
        {{ row_fingerprint(['reachability', 'occurred_at', 'source']) }} as fingerprint

    from {{ ref('int_profile__reachability') }}

),

junk as (

    {{ junk_identifiers() | indent(4) }}

),

statements as (

    select
        record_customers.customer_id,
        {{ row_fingerprint([
            'contacts.fingerprint', 'contacts.birth_date > ' ~ as_of_date(),
            'junk_emails.blocks_sending', 'junk_phones.blocks_sending',
            'email_signals.fingerprint', 'phone_signals.fingerprint',
        ]) }} as fingerprint

    from contacts

    inner join record_customers
        on contacts.source = record_customers.source
        and contacts.table_name = record_customers.table_name
        and contacts.record_key = record_customers.record_key

    left join junk as junk_emails
        on junk_emails.identifier_type = 'email'
        and contacts.email = junk_emails.identifier_value

    left join junk as junk_phones
        on junk_phones.identifier_type = 'phone'
        and contacts.phone = junk_phones.identifier_value

    left join reachability as email_signals
        on email_signals.contact_point_type = 'email'
        and contacts.email = email_signals.contact_point

    left join reachability as phone_signals
        on phone_signals.contact_point_type = 'phone'
        and contacts.phone = phone_signals.contact_point

    union all

    select
        customer_identifiers.customer_id,
        {{ row_fingerprint([
            'customer_identifiers.identifier_type', 'customer_identifiers.identifier_value',
            'customer_identifiers.tier', 'customer_identifiers.first_seen_at',
            'customer_identifiers.last_seen_at', 'line_signals.fingerprint',
        ]) }} as fingerprint

    from customer_identifiers

    left join reachability as line_signals
        on customer_identifiers.identifier_type = line_signals.contact_point_type
        and line_signals.contact_point_type = 'line_user_id'
        and customer_identifiers.identifier_value = line_signals.contact_point

    union all

    select
        web_customers.customer_id,
        {{ row_fingerprint([
            "'push'", 'push_tokens.record_key', 'push_tokens.push_token', 'push_tokens.occurred_at',
        ]) }} as fingerprint

    from push_tokens

    inner join web_customers
        on push_tokens.record_key = web_customers.record_key

)

select
    customer_id,
    bit_xor(fingerprint) as fingerprint

from statements

group by 1
