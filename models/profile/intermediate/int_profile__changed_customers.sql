with

fingerprints as (

    select * from {{ ref('int_profile__customer_fingerprints') }}

),

previous as (

    select * from {{ ref('int_profile__previous_fingerprints') }}

),

-- Who is new, who is known otherwise than the last build knew them, and who is nobody any more.
changed_customers as (

    select coalesce(fingerprints.customer_id, previous.customer_id) as customer_id

    from fingerprints

    full outer join previous
        on fingerprints.customer_id = previous.customer_id

    where
        fingerprints.customer_id is null
        or previous.customer_id is null
        or fingerprints.fingerprint <> previous.fingerprint

)

select * from changed_customers
