with

contacts as (

    select * from {{ ref('int_identity__contacts_of_sources') }}

    where first_name is not null

),

observations as (

    select * from {{ ref('int_identity__observations') }}

),

identifier_types as (

    select * from {{ ref('identifier_types') }}

    where max_given_names is not null

),

-- Folding a name takes long, and there are few names.
given_names as (

    select
        first_name,
        {{ replace_all(fold_name('first_name'), ' ', '') }} as given_name

    from (select distinct first_name from contacts) as spellings

),

records as (

    select
        observations.node_key,
        observations.identifier_type,
        observations.identifier_value,
        identifier_types.max_given_names,
        given_names.given_name

    from contacts

    inner join given_names
        on contacts.first_name = given_names.first_name

    inner join observations
        on contacts.source = observations.source
        and contacts.table_name = observations.table_name
        and contacts.record_key = observations.record_key

    inner join identifier_types
        on observations.identifier_type = identifier_types.identifier_type

),

names as (

    select
        node_key,
        identifier_type,
        identifier_value,
        max_given_names,
        given_name,
        count(*) as record_count,
        count(*) over (partition by node_key) as spelling_count

    from records

    where given_name <> ''

    group by 1, 2, 3, 4, 5

),

-- A spelling that is like another one is no further name. Where there are very many, people are
-- too many however they are spelled.
further_spellings as (

    select distinct
        names.node_key,
        names.given_name

    from names

    inner join names as others
        on names.node_key = others.node_key
        and names.given_name > others.given_name

    where
        names.spelling_count between 2 and 60
        and {{ are_alike('names.given_name', 'others.given_name') }}

),

counted as (

    select
        names.node_key,
        names.identifier_type,
        names.identifier_value,
        names.max_given_names,
        count(*) - count(further_spellings.given_name) as given_name_count,
        cast(sum(names.record_count) as bigint) as record_count

    from names

    left join further_spellings
        on names.node_key = further_spellings.node_key
        and names.given_name = further_spellings.given_name

    group by 1, 2, 3, 4

),

detected as (

    select * from counted

    where given_name_count > max_given_names

)

select * from detected
