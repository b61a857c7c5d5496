{%- set key = 'contact_point_type, contact_point, channel, purpose' -%}
{#- The most restrictive first; an unknown answer says nothing. -#}
{%- set restriction -%}
case status when 'unsubscribed' then 1 when 'did_not_subscribe' then 2 when 'subscribed' then 3 else 4 end
{%- endset -%}
with

answers as (

    select * from {{ ref('int_profile__consent_answers') }}

),

record_customers as (

    select * from {{ ref('record_customers') }}

),

identity_map as (

    select * from {{ ref('identity_map') }}

),

-- Whose record each answer was and became, by the days of the builds that said so.
owners as (

    select
        answers.source,
        answers.answer_key,
        answers.landed_as_of,
        identity_map.customer_id,
        identity_map.opened_as_of,
        coalesce(identity_map.closed_as_of, {{ end_of_time() }}) as closed_as_of,
        row_number() over (
            partition by answers.source, answers.answer_key
            order by identity_map.opened_as_of asc, identity_map.customer_id asc
        ) as owner_number

    from answers

    inner join record_customers
        on answers.source = record_customers.source
        and answers.table_name = record_customers.table_name
        and answers.record_key = record_customers.record_key

    inner join identity_map
        on record_customers.node_key = identity_map.node_key

),

-- Who it was when it answered: the owner of the day the answer landed, or the first there was.
answerers as (

    select
        source,
        answer_key,
        min(case when closed_as_of > landed_as_of then owner_number end) as owner_number

    from owners

    group by 1, 2

),

-- Days on which anything about a contact point's answers changed.
change_days as (

    select
        {{ key }},
        landed_as_of as known_on

    from answers

    union

    select
        answers.contact_point_type,
        answers.contact_point,
        answers.channel,
        answers.purpose,
        owners.opened_as_of as known_on

    from answers

    inner join owners
        on answers.source = owners.source
        and answers.answer_key = owners.answer_key
        and owners.owner_number > 1
        and answers.landed_as_of < owners.opened_as_of

),

known_answers as (

    select
        answers.*,
        change_days.known_on,
        {{ dbt.date_trunc('second', 'answers.captured_at') }} as captured_second,
        {{ restriction }} as restriction_rank,
        coalesce(first_owners.customer_id, 'nobody') as answerer,
        coalesce(day_owners.customer_id, first_owners.customer_id, 'nobody') as owner_id,
        -- A record that went to another customer since: from that day on they are one person.
        case
            when day_owners.owner_number > answerers.owner_number then day_owners.opened_as_of
        end as joined_on

    from answers

    inner join change_days
        on answers.contact_point_type = change_days.contact_point_type
        and answers.contact_point = change_days.contact_point
        and answers.channel = change_days.channel
        and answers.purpose = change_days.purpose
        and answers.landed_as_of <= change_days.known_on

    left join answerers
        on answers.source = answerers.source
        and answers.answer_key = answerers.answer_key

    left join owners as first_owners
        on answerers.source = first_owners.source
        and answerers.answer_key = first_owners.answer_key
        and answerers.owner_number = first_owners.owner_number

    left join owners as day_owners
        on answers.source = day_owners.source
        and answers.answer_key = day_owners.answer_key
        and change_days.known_on >= day_owners.opened_as_of
        and change_days.known_on < day_owners.closed_as_of

),

newest_of_answerers as (

    select
        *,
        row_number() over (
            partition by {{ key }}, known_on, answerer
            order by
                case when restriction_rank = 4 then 1 else 0 end asc,
                captured_second desc,
                restriction_rank asc,
                answer_key asc,
                source asc
        ) as answer_rank,
        min(owner_id) over (partition by {{ key }}, known_on) as first_owner,
        max(owner_id) over (partition by {{ key }}, known_on) as last_owner,
        max(joined_on) over (partition by {{ key }}, known_on) as last_joined_on,
        max(case when restriction_rank < 4 then captured_second end) over (
            partition by {{ key }}, known_on
        ) as newest_second

    from known_answers

),

-- One person's newest answer wins. Where two answered, or did before they were one, the most
-- restrictive of their newest does, until the person they became answers anew.
settled as (

    select
        *,
        first_owner = last_owner
        and (
            last_joined_on is null
            or newest_second >= cast(last_joined_on as timestamp)
        ) as is_one_person

    from newest_of_answerers

    where answer_rank = 1

),

deciding as (

    select
        *,
        row_number() over (
            partition by {{ key }}, known_on
            order by
                case when restriction_rank = 4 then 1 else 0 end asc,
                case when is_one_person then captured_second end desc nulls last,
                restriction_rank asc,
                captured_second desc,
                answer_key asc,
                source asc
        ) as deciding_rank

    from settled

),

-- A day on which the same answer stays the deciding one begins no new row.
changes as (

    select
        *,
        lag(source || '|' || answer_key) over (partition by {{ key }} order by known_on)
            as previous_answer

    from deciding

    where deciding_rank = 1

),

consent_history as (

    select
        contact_point_type,
        contact_point,
        channel,
        purpose,
        status,
        is_unconfirmed,
        jurisdiction,
        basis,
        captured_at,
        expires_at,
        answer_source as source,
        proof_ref,
        case when is_one_person then 'newest' else 'most_restrictive' end as decided_by,
        known_on as valid_from,
        lead(known_on) over (partition by {{ key }} order by known_on) as valid_to,
        lead(known_on) over (partition by {{ key }} order by known_on) is null as is_current

    from changes

    where previous_answer is null or previous_answer <> source || '|' || answer_key

)

select * from consent_history
