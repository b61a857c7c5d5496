"""Who the people are: markets, names, addresses, phones, e-mail addresses, and their troubles."""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orchestration.demo import names
from orchestration.demo.company_settings import Settings
from orchestration.demo.delivery import DAY, Flags, History, Ints, Output, maybe

VISITOR, REGISTERED, GUEST, ONCE, REPEAT, LOYAL = range(6)
NO_JUNK, JUNK_EMAIL, JUNK_PHONE = range(3)
TW, IR, GB = 1, 2, 3
PLAIN_FORMS = np.array([0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5])
BRACKET_FORM, LOCAL_DIGITS_FORM, ARABIC_DIGITS_FORM = 6, 7, 8
# A prime that divides no country's count of numbers: steps of it never meet the same number
# twice, so that numbers look random and yet are unique.
STEP = 7_368_787
LONDON_NUMBERS = 1000

TYPED_PHONE = """
create or replace macro typed_phone(cc, nat, market, form) as case
    when nat is null then null
    when form = 0 then '+' || cc || nat
    when form in (2, 3, 4, 6) then
        case form when 4 then '+' || cc || ' ' when 6 then '+' || cc || ' (0)' else '0' end
        || nat[1:length_1(nat, market)]
        || case form when 3 then '-' else ' ' end
        || nat[length_1(nat, market) + 1:length_1(nat, market) + length_2(nat, market)]
        || case form when 3 then '-' else ' ' end
        || nat[length_1(nat, market) + length_2(nat, market) + 1:]
    when form = 5 then '00' || cc || nat
    when form = 7 and market = 1 then translate('0' || nat, '0123456789', '０１２３４５６７８９')
    when form = 7 and market = 2 then translate('0' || nat, '0123456789', '۰۱۲۳۴۵۶۷۸۹')
    when form = 8 and market = 2 then translate('0' || nat, '0123456789', '٠١٢٣٤٥٦٧٨٩')
    else '0' || nat
end
"""
PHONE_GROUPS = (
    "create or replace macro length_1(nat, market) as "
    "case when market <> 3 then 3 when nat[1:2] = '20' then 2 else 4 end",
    "create or replace macro length_2(nat, market) as "
    "case when market = 3 and nat[1:2] = '20' then 4 else 3 end",
    # A phone as typed; somebody without one may have typed junk.
    TYPED_PHONE,
)


@dataclass
class People:
    """Columns over all people, by their number; `words` holds the text columns."""

    market: Ints
    kind: Ints
    account: Flags
    has_phone: Flags
    phone_owner: Ints
    phone_shift: int
    family_member: Flags
    family_leader: Flags
    office: Ints
    junk: Ints
    junk_pick: Ints
    two_emails: Flags
    typo: Flags
    other_spelling: Flags
    local_digits: Flags
    tablet: Ints
    tablets: int
    spending: NDArray[np.float64]
    erp_no: Ints
    erp_linked: Flags
    words: pa.Table

    def __len__(self) -> int:
        return len(self.market)

    @property
    def known(self) -> Flags:
        return self.kind != VISITOR

    def phone_forms(self, rng: np.random.Generator, person: Ints) -> Ints:
        """How each of these people types the phone this time."""
        forms = rng.choice(PLAIN_FORMS, len(person))
        local = self.local_digits[person] & (rng.random(len(person)) < 0.7)
        arabic = rng.random(len(person)) < 0.3
        forms[local] = np.where(arabic[local], ARABIC_DIGITS_FORM, LOCAL_DIGITS_FORM)
        forms[local & (self.market[person] == TW)] = LOCAL_DIGITS_FORM
        bracket = (self.market[person] == GB) & (rng.random(len(person)) < 0.08)
        forms[bracket] = BRACKET_FORM
        return forms

    def take(self, person: Ints, columns: str) -> dict[str, pa.ChunkedArray]:
        """Text columns, named with spaces between, for these people."""
        taken = self.words.select(columns.split()).take(pa.array(person))
        return {name: taken[name] for name in taken.column_names}


def _pick(rng: np.random.Generator, able: Flags, wanted: int) -> Ints:
    candidates = np.flatnonzero(able)
    return np.sort(rng.choice(candidates, min(wanted, len(candidates)), replace=False))


def _groups(count: int, sizes: tuple[int, ...]) -> Ints:
    """Group numbers for `count` members in a row; a lonely last one joins the group before."""
    edges = np.cumsum(np.resize(sizes, count))
    group = np.searchsorted(edges, np.arange(count), side="right").astype(np.int64)
    if count > 1 and group[-1] != group[-2]:
        group[-1] = group[-2]
    return group


def national_numbers(owner: Ints, market: Ints, shift: int) -> pa.ChunkedArray:
    """The national number of each phone: unique per owner and market, valid in the country."""
    text: list[pa.Array] = []
    place = np.zeros(len(owner), dtype=np.int64)
    offset = 0
    for code in range(4):
        rows = np.flatnonzero(market == code)
        prefixes, digits = names.PHONE_PREFIXES[code], names.PHONE_REST_DIGITS[code]
        number = (owner[rows] * STEP + shift) % (len(prefixes) * 10**digits)
        prefix = np.array([int(p) for p in prefixes])[number // 10**digits]
        text.append(pa.array(prefix * 10**digits + number % 10**digits).cast(pa.string()))
        place[rows] = offset + np.arange(len(rows))
        offset += len(rows)
    return pa.chunked_array(text).take(pa.array(place))


def make_people(
    rng: np.random.Generator, count: int, settings: Settings, history: History, output: Output
) -> People:
    """Draw the people; every trouble gets at least its share of all people."""
    for statement in PHONE_GROUPS:
        output.connection.execute(statement)
    shares = settings.people
    markets = np.array([settings.sizes["markets"][name] for name in names.MARKETS])
    kinds = np.array(list(settings.sizes["kinds"].values()))
    market = rng.choice(4, count, p=markets).astype(np.int64)
    kind = rng.choice(len(kinds), count, p=kinds).astype(np.int64)
    account = np.isin(kind, (REGISTERED, ONCE, REPEAT, LOYAL))
    known = kind != VISITOR
    has_phone = known & (rng.random(count) < 0.9)
    family = rng.integers(0, np.array(names.FAMILIES.count)[market])
    woman = rng.random(count) < 0.55
    given_woman = rng.integers(0, np.array(names.WOMEN.count)[market])
    given_man = rng.integers(0, np.array(names.MEN.count)[market])
    city = rng.integers(0, np.array(names.CITIES.count)[market])
    street = rng.integers(0, np.array(names.STREETS.count)[market])
    house = rng.integers(1, 200, count)

    free = known.copy()
    owner = np.arange(count, dtype=np.int64)
    member, leader = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for code in range(4):
        here = market == code
        chosen = _pick(rng, free & here, math.ceil(shares["family_phone"] * here.sum()) + 1)
        if len(chosen) < 2:
            continue
        group = _groups(len(chosen), (2, 3, 4, 2))
        first = chosen[np.searchsorted(group, group)]
        owner[chosen], member[chosen], leader[first] = first, True, True
        for column in (family, city, street, house):
            column[chosen] = column[first]
        has_phone[chosen] = True
        free[chosen] = False

    office = np.full(count, -1, dtype=np.int64)
    chosen = _pick(rng, free, max(math.ceil(shares["office_mailbox"] * count), 3))
    office[chosen] = _groups(len(chosen), (3, 5, 4))
    free[chosen] = False

    junk = np.zeros(count, dtype=np.int64)
    chosen = _pick(rng, free, math.ceil(shares["junk_value"] * count))
    junk[chosen] = np.where(rng.random(len(chosen)) < 0.5, JUNK_EMAIL, JUNK_PHONE)
    has_phone[junk == JUNK_PHONE] = False
    has_phone[junk == JUNK_EMAIL] = True
    free[chosen] = False

    two_emails = np.zeros(count, dtype=bool)
    two_emails[_pick(rng, free & account, math.ceil(shares["two_emails"] * count))] = True
    has_phone |= two_emails
    typo = np.zeros(count, dtype=bool)
    typo[_pick(rng, account, math.ceil(shares["name_typo"] * count))] = True
    tablet = np.full(count, -1, dtype=np.int64)
    chosen = _pick(rng, account, max(math.ceil(shares["shared_device"] * count), 3))
    tablets = max(1, len(chosen) // 12)
    tablet[rng.permutation(chosen)] = np.arange(len(chosen)) % tablets

    odd = np.array([0.06, 0.0, 0.30, 0.05])[market]
    local = np.array([0.0, 0.10, 0.18, 0.0])[market]
    erp_people = _pick(
        rng,
        known & (market == GB),
        math.ceil(settings.sizes["erp_share_of_gb"] * int((market == GB).sum())),
    )
    erp_no = np.zeros(count, dtype=np.int64)
    erp_no[erp_people] = (
        12_346 + rng.permutation(len(erp_people) + len(erp_people) // 3)[: len(erp_people)]
    )
    linked = np.zeros(count, dtype=bool)
    linked[
        _pick(
            rng,
            account & (erp_no > 0),
            math.ceil(settings.sizes["erp_linked"] * len(erp_people)),
        )
    ] = True

    people = People(
        market=market,
        kind=kind,
        account=account,
        has_phone=has_phone,
        phone_owner=owner,
        phone_shift=int(rng.integers(1, 10**9)),
        family_member=member,
        family_leader=leader,
        office=office,
        junk=junk,
        junk_pick=rng.integers(0, 1000, count),
        two_emails=two_emails,
        typo=typo,
        other_spelling=known & (rng.random(count) < odd),
        local_digits=known & (rng.random(count) < local),
        tablet=tablet,
        tablets=tablets,
        spending=np.clip(rng.lognormal(0.0, 0.5, count), 0.3, 4.0),
        erp_no=erp_no,
        erp_linked=linked,
        words=pa.table({}),
    )
    given = np.where(
        woman,
        np.array(names.WOMEN.first)[market] + given_woman,
        len(names.WOMEN.native) + np.array(names.MEN.first)[market] + given_man,
    )
    people.words = _words(
        rng,
        people,
        output,
        given,
        np.array(names.FAMILIES.first)[market] + family,
        np.array(names.CITIES.first)[market] + city,
        np.array(names.STREETS.first)[market] + street,
        house,
        woman,
        history,
    )
    return people


def _phone_column(rng: np.random.Generator, people: People) -> pa.ChunkedArray:
    """National numbers; a few Londoners have a landline of the range kept for films."""
    national = national_numbers(people.phone_owner, people.market, people.phone_shift)
    may = (people.market == GB) & people.has_phone & ~people.family_member
    chosen = np.flatnonzero(may & (rng.random(len(people)) < 0.04))[:LONDON_NUMBERS]
    number = np.zeros(len(people), dtype=np.int64)
    number[chosen] = 2_079_460_000 + np.arange(len(chosen))
    london = maybe(number, number > 0).cast(pa.string())
    return pa.chunked_array([pc.coalesce(london, national.combine_chunks())])


def _words(
    rng: np.random.Generator,
    people: People,
    output: Output,
    given: Ints,
    family: Ints,
    city: Ints,
    street: Ints,
    house: Ints,
    woman: Flags,
    history: History,
) -> pa.Table:
    count = len(people)
    women, men, families = names.WOMEN, names.MEN, names.FAMILIES

    def take(words: list[str], index: Ints) -> pa.Array:
        return pa.array(words).take(pa.array(index))

    born = history.end - (rng.integers(18 * 365, 75 * 365, count) * DAY)
    base = pa.table(
        {
            "person": np.arange(count),
            "market": people.market,
            "country": take(list(names.MARKETS), people.market),
            "currency": take(list(names.CURRENCIES), people.market),
            "cc": take(list(names.CALLING_CODES), people.market),
            "locale": take(list(names.LOCALES), people.market),
            "jurisdiction": take(list(names.JURISDICTIONS), people.market),
            "given": take(women.native + men.native, given),
            "given_latin": take(women.latin + men.latin, given),
            "given_other": take(women.other + men.other, given),
            "given_typo": take(women.typo + men.typo, given),
            "family": take(families.native, family),
            "family_latin": take(families.latin, family),
            "family_other": take(families.other, family),
            "city": take(names.CITIES.native, city),
            "region": take(names.REGIONS.native, city),
            "postcode": take(names.POSTCODES, city),
            "street": take(names.STREETS.native, street),
            "house": house,
            "gender": take(["male", "female"], woman.astype(np.int64)),
            "born": born,
            "nat": _phone_column(rng, people),
            "has_phone": people.has_phone,
            "typo": people.typo,
            "other": people.other_spelling,
            "office": people.office,
            "junk": people.junk,
            "junk_email": take(list(names.JUNK_EMAILS), people.junk_pick % len(names.JUNK_EMAILS)),
            "junk_phone": take(list(names.JUNK_PHONES), people.junk_pick % len(names.JUNK_PHONES)),
            "pattern": rng.integers(0, 3, count),
            "number_a": (np.arange(count) * 7_919 + int(rng.integers(1, 9_999))) % 9_999_991,
            "number_b": (np.arange(count) * 104_729 + int(rng.integers(1, 9_999))) % 9_999_991,
            "domain_a": take(
                list(names.EMAIL_DOMAINS), rng.integers(0, len(names.EMAIL_DOMAINS), count)
            ),
            "domain_b": take(
                list(names.EMAIL_DOMAINS), rng.integers(0, len(names.EMAIL_DOMAINS), count)
            ),
            "erp_number": maybe(people.erp_no, people.erp_no > 0),
            "linked": people.erp_linked,
        }
    )
    return output.render(
        """
        select
            market, country, currency, cc, locale, jurisdiction, given, family, city, region,
            gender,
            case when typo then given_typo when other then given_other else given end
                as given_typed,
            case when other then family_other else family end as family_typed,
            case pattern
                when 0 then given_latin || '.' || family_latin
                when 1 then family_latin || '.' || given_latin
                else given_latin
            end || '.' || number_a || '@' || domain_a as email_a,
            family_latin || '_' || given_latin || '_' || number_b || '@' || domain_b as email_b,
            case when office >= 0 then 'office@firm-' || (office + 1) || '.example' end
                as office_mailbox,
            case when junk = 1 then junk_email end as junk_email,
            case when junk = 2 then junk_phone end as junk_phone,
            case when has_phone then nat end as nat,
            case when has_phone then '+' || cc || nat end as phone,
            case market
                when 0 then house || ' ' || street
                when 1 then street || house || '號'
                when 2 then street || '، پلاک ' || house
                else house || ' ' || street
            end as street,
            case market
                when 0 then postcode || lpad(cast(house % 100 as varchar), 2, '0')
                when 1 then postcode || (house % 10)
                when 2 then postcode || lpad(cast(house * 4219 as varchar), 8, '1')
                else postcode || ' ' || (house % 9 + 1) || 'AA'
            end as postal_code,
            strftime(epoch_ms(born), '%Y-%m-%d') as birthday,
            cast(erp_number as varchar) as erp_number,
            case when linked then cast(erp_number as varchar) end as customer_no,
            -- Some type their address in capitals or with a space behind it.
            case
                when person % 29 = 3 then upper(left(email_a, 1)) || substr(email_a, 2)
                when person % 41 = 5 then upper(email_a)
                else email_a
            end as email_typed
        from base
        """,
        base=base,
    )
