"""The company's own stores: the loyalty programme's members, sign-ups and the tills' receipts."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from orchestration.demo import names
from orchestration.demo.catalogue import sku_text
from orchestration.demo.channels import Channels, between, pick, some
from orchestration.demo.delivery import DAY, HOUR, MINUTE, Flags, Ints, maybe
from orchestration.demo.people import STEP
from orchestration.demo.shop import PER_POUND, TAX_PER_THOUSAND, money_text, time_text, waking_hours

# Five stores in the four markets: Great Britain has two.
STORES = ("ST-HANOI", "ST-TAIPEI", "ST-TEHRAN", "ST-LONDON", "ST-LEEDS")
STORE_MARKET = (0, 1, 2, 3, 3)
TILL_METHODS = (
    ("cash", "momo", "card"),
    ("line_pay", "card", "cash"),
    ("card", "cash", "card"),
    ("card", "card", "cash"),
)
WELCOME_POINTS = 500
TIERS = ("bronze", "silver", "gold")


@dataclass
class Members:
    """Who has a card, since when; -1 where a person has none. Times in milliseconds."""

    person: Ints
    joined: Ints
    place: Ints

    def __len__(self) -> int:
        return len(self.person)


@dataclass
class Receipts:
    """Columns over receipts; `member` and `person` are -1 where nobody knows."""

    person: Ints
    member: Ints
    market: Ints
    time: Ints
    total: Ints
    points: Ints
    returned: Ints


def card_text(column: str) -> str:
    """SQL for a card's number; a prime's steps meet no number of eight digits twice."""
    return f"'LY' || lpad(cast((({column}) * {STEP} + 40961) % 100000000 as varchar), 8, '0')"


def receipt_text(column: str) -> str:
    return f"'R-' || lpad(cast({column} as varchar), 8, '0')"


def point_value(market: Ints) -> Ints:
    """What one point pays for: a penny's worth, in hundredths of the market's money."""
    return np.array([round(rate) for rate in PER_POUND], dtype=np.int64)[market]


def make_members(rng: np.random.Generator, channels: Channels) -> Members:
    """Cards with what their owners told, and the forms of those who joined at a till."""
    people = channels.people
    able = people.known & channels.reachable
    person = channels.choose(rng, able, channels.rates["loyalty_members"])
    contact = channels.contact[person]
    size = len(person)
    late = np.minimum(contact + 2 * HOUR, channels.last - 2 * HOUR)
    joined = late + (rng.random(size) ** 3 * (channels.last - 2 * HOUR - late)).astype(np.int64)
    always = channels.everywhere[person]
    joined[always] = late[always]
    place = np.full(len(people), -1, dtype=np.int64)
    place[person] = np.arange(size)
    members = Members(person, joined, place)

    tells = (rng.random(size) < 0.5) | always
    mail = channels.own_email[person] & ((rng.random(size) < 0.8) | ~people.has_phone[person])
    mail |= always
    tier = np.minimum(rng.integers(0, 5, size) // 2, 2)
    raised = joined + between(rng, np.full(size, 20 * DAY), 300 * DAY)
    again = np.flatnonzero((rng.random(size) < 0.35) & (raised < channels.last))
    row = np.concatenate([np.arange(size), again])
    second = np.arange(len(row)) >= size
    channels.write(
        rng,
        "loyalty.members",
        f"""
        {card_text("person")} as loyalty_no, cast(account as varchar) as shopify_customer_id,
        case when mail then email_typed end as email,
        typed_phone(cc, nat, market, form) as phone, given as first_name, family as last_name,
        birthday as birth_date, country as country_code, tier, {time_text("joined")} as joined_at,
        cast(gone as varchar) as is_deleted, {time_text("moment")} as updated_at
        """,
        np.concatenate([joined, raised[again]]),
        {
            "person": person[row],
            "account": channels.accounts(person[row], tells[row]),
            "mail": mail[row],
            "form": people.phone_forms(rng, person)[row],
            "tier": pick(TIERS, np.where(second, tier[row], 0)),
            "joined": joined[row],
            "gone": (second & (person[row] % 50 == 3) & ~always[row]),
        },
        person[row],
        "email_typed cc nat market given family birthday country",
        key="loyalty_no",
        broken=[("joined_at", "recently"), ("birth_date", "in May")],
        record="loyalty_no",
    )
    channels.tell("loyalty_no", card_text("person"), person)

    forms = some(rng, size, channels.rates["signed_up_at_till"], 2)
    who = person[forms]
    store = _store_of(rng, people.market[who])
    channels.write(
        rng,
        "pos.loyalty_sign_ups",
        f"""
        'SU-' || lpad(cast(n as varchar), 7, '0') as sign_up_id, store as store_id,
        {card_text("person")} as loyalty_no, given_typed as first_name, family_typed as last_name,
        case when mail then email_typed end as email,
        typed_phone(cc, nat, market, form) as phone, country as country_code,
        {time_text("moment")} as signed_up_at
        """,
        joined[forms] - MINUTE,
        {
            "person": who,
            "store": pick(STORES, store),
            "mail": mail[forms],
            "form": people.phone_forms(rng, who),
        },
        who,
        "given_typed family_typed email_typed cc nat market country",
        key="sign_up_id",
        broken=[("signed_up_at", "noon")],
        record="sign_up_id",
    )
    return members


def _store_of(rng: np.random.Generator, market: Ints) -> Ints:
    """A store of each market; Great Britain's trade is shared between two."""
    return np.where((market == 3) & (rng.random(len(market)) < 0.4), 4, market)


def _buyers(rng: np.random.Generator, channels: Channels, members: Members) -> tuple[Ints, Ints]:
    """Who buys (-1: nobody knows) and on which card (-1: none shown)."""
    people, rates = channels.people, channels.rates
    sales = round(len(people) * rates["pos_receipts"] / (1 + rates["pos_returns"]))
    known = round(sales * (1 - rates["pos_unknown"]))
    always = np.repeat(np.flatnonzero(channels.everywhere), 3)
    with_card = max(round(known * 0.75) - len(always), 2)
    on_card = np.concatenate([members.place[always], rng.integers(0, len(members), with_card)])
    able = np.flatnonzero(channels.reachable & (channels.contact < channels.last - HOUR))
    without = rng.choice(able, max(known - len(on_card), 2))
    nobody = max(sales - len(on_card) - len(without), 2)
    person = np.concatenate([members.person[on_card], without, np.full(nobody, -1)])
    member = np.concatenate([on_card, np.full(len(without) + nobody, -1)])
    return person, member


def make_receipts(rng: np.random.Generator, channels: Channels, members: Members) -> Receipts:
    """Sales and what was brought back, with their lines."""
    people, shop, history = channels.people, channels.shop, channels.history
    person, member = _buyers(rng, channels, members)
    sales = len(person)
    known = person >= 0
    market = np.where(
        known, people.market[person], rng.choice(4, sales, p=[0.32, 0.24, 0.18, 0.26])
    )
    earliest = np.where(known, channels.contact[person], history.start)
    earliest = np.where(member >= 0, members.joined[member], earliest) + 10 * MINUTE
    time = np.maximum(waking_hours(rng, between(rng, earliest, channels.last)), earliest)
    time = np.minimum(time, channels.last)
    order = np.lexsort((person, time))
    person, member, market, time = person[order], member[order], market[order], time[order]

    lines = rng.choice([1, 2, 3, 4], sales, p=[0.4, 0.3, 0.2, 0.1])
    first = np.cumsum(lines) - lines
    of = np.repeat(np.arange(sales), lines)
    size = len(of)
    product = rng.integers(0, shop.prices.shape[1], size)
    per_thousand = np.array(TAX_PER_THOUSAND)[market]
    # Prices in a store are with tax.
    price = shop.prices[market[of], product] * (1000 + per_thousand[of]) // 1000
    quantity = rng.choice([1, 1, 1, 1, 2, 3], size).astype(np.int64)
    discount = np.where((rng.random(sales) < 0.1)[of], price * quantity // 1000 * 100, 0)
    strange = np.zeros(size, dtype=bool)
    strange[some(rng, size, channels.rates["pos_unknown_sku"], 1)] = True
    total = np.add.reduceat(price * quantity - discount, first)

    points = _points_paid(rng, channels, members, member, market, total)
    back, back_time = _brought_back(rng, channels, time, points)
    origin = np.concatenate([np.arange(sales), back])
    returned = np.concatenate([np.full(sales, -1), back])
    is_back = returned >= 0
    first_net = (price * quantity - discount)[first]
    receipts = Receipts(
        person=person[origin],
        member=member[origin],
        market=market[origin],
        time=np.concatenate([time, back_time]),
        total=np.where(is_back, first_net[origin], total[origin]),
        points=np.where(is_back, 0, points[origin]),
        returned=returned,
    )
    _write_receipts(rng, channels, receipts)
    # A return brings the first line of its sale back.
    line = np.concatenate([np.arange(size), first[back]])
    receipt = np.concatenate([of, sales + np.arange(len(back))])
    place = np.concatenate([np.arange(size) - first[of], np.zeros(len(back), dtype=np.int64)])
    things = [word for words in names.CATEGORIES.values() for word in words.split()]
    titles = [
        f"{names.ADJECTIVES[i // len(things) % 5]} {things[i % len(things)]}"
        for i in range(shop.prices.shape[1])
    ]
    channels.write(
        rng,
        "pos.receipt_lines",
        f"""
        {receipt_text("receipt")} as receipt_id, cast(place + 1 as varchar) as line_no,
        case when strange then 'SKU-X' || lpad(cast(product as varchar), 4, '0')
            when product % 9 = 4 then lower({sku_text("product")})
            else {sku_text("product")} end as sku,
        title as product_name, cast(quantity as varchar) as quantity,
        {money_text("price")} as unit_price, {money_text("discount")} as discount_amount,
        {time_text("moment")} as updated_at
        """,
        receipts.time[receipt],
        {
            "receipt": receipt,
            "place": place,
            "strange": strange[line],
            "product": product[line],
            "title": pick(titles, product[line]),
            "quantity": quantity[line],
            "price": price[line],
            "discount": discount[line],
        },
        key="receipt_id",
        broken=[("quantity", "two"), ("unit_price", "free")],
    )
    return receipts


def _points_paid(
    rng: np.random.Generator,
    channels: Channels,
    members: Members,
    member: Ints,
    market: Ints,
    total: Ints,
) -> Ints:
    """Points that pay for a part of a receipt: once a member, and no more than the welcome gave."""
    points = np.zeros(len(member), dtype=np.int64)
    buyers, latest = np.unique(member[::-1], return_index=True)
    latest = len(member) - 1 - latest[buyers >= 0]
    chosen = latest[some(rng, len(latest), channels.rates["points_paid"], 2)]
    most = total[chosen] // point_value(market[chosen])
    points[chosen] = np.minimum(most, WELCOME_POINTS // rng.choice([1, 1, 2], len(chosen)))
    return points


def _brought_back(
    rng: np.random.Generator, channels: Channels, time: Ints, points: Ints
) -> tuple[Ints, Ints]:
    """Sales of which something comes back within three weeks, and when."""
    able = np.flatnonzero((points == 0) & (time < channels.last - 25 * DAY))
    back = able[some(rng, len(able), channels.rates["pos_returns"] * 1.1, 2)]
    back_time = time[back] + rng.integers(DAY, 21 * DAY, len(back))
    order = np.argsort(back_time, kind="stable")
    return back[order], back_time[order]


def _write_receipts(rng: np.random.Generator, channels: Channels, receipts: Receipts) -> None:
    people = channels.people
    size = len(receipts.time)
    is_back = receipts.returned >= 0
    person, member, market = receipts.person, receipts.member, receipts.market
    owner = np.where(member >= 0, person, 0)
    able_mail = np.zeros(size, dtype=bool)
    able_mail[person >= 0] = channels.own_email[person[person >= 0]]
    has_phone = (person >= 0) & people.has_phone[person]
    # Without a card it is the address or the number for the receipt that tells who bought.
    mail: Flags = able_mail & (
        (member < 0) & ((rng.random(size) < 0.6) | ~has_phone) | (rng.random(size) < 0.1)
    )
    phone = has_phone & (member < 0) & ~mail
    per_thousand = np.array(TAX_PER_THOUSAND)[market]
    paid = receipts.points * point_value(market)
    store = _store_of(rng, market)
    store = np.where(is_back, store[np.maximum(receipts.returned, 0)], store)
    methods = np.array([m for row in TILL_METHODS for m in row])
    method = methods[market * 3 + rng.integers(0, 3, size)]
    method = np.where((paid > 0) & (paid == receipts.total), "points", method)
    forms = np.ones(size, dtype=np.int64)
    forms[person >= 0] = people.phone_forms(rng, person[person >= 0])
    nameless = is_back & (rng.random(size) < 0.1)
    # A till corrects a few receipts the same evening: a second version.
    again = np.flatnonzero((rng.random(size) < 0.03) & (receipts.time < channels.last - 3 * HOUR))
    row = np.concatenate([np.arange(size), again])
    updated = np.concatenate([receipts.time, receipts.time[again] + 2 * HOUR])
    base = {
        "receipt": row,
        "till": rng.integers(1, 4, size)[row],
        "store": pick(STORES, store[row]),
        "original": maybe(receipts.returned[row], (is_back & ~nameless)[row]),
        "owner": maybe(owner[row], (member >= 0)[row]),
        "is_back": is_back[row],
        "mail": mail[row],
        "by_phone": phone[row],
        "form": forms[row],
        "land": pick(names.MARKETS, market[row]),
        "money": pick(names.CURRENCIES, market[row]),
        "total": receipts.total[row],
        "tax": (receipts.total * per_thousand // (1000 + per_thousand))[row],
        "paid": paid[row],
        "method": pa.array(method[row]),
        "issued": receipts.time[row],
    }
    channels.write(
        rng,
        "pos.receipts",
        f"""
        {receipt_text("receipt")} as receipt_id, store as store_id, 'till-' || till as till_id,
        case when is_back then 'return' else 'sale' end as receipt_type,
        {receipt_text("original")} as original_receipt_id,
        case when receipt % 20 = 7 then lower({card_text("owner")})
            else {card_text("owner")} end as loyalty_no,
        case when mail then email_typed end as email,
        case when by_phone then typed_phone(cc, nat, market, form) end as phone,
        land as country_code, money as currency, {money_text("total")} as total_amount,
        {money_text("tax")} as tax_amount, {money_text("paid")} as points_amount,
        method as payment_method, {time_text("issued")} as issued_at,
        {time_text("moment")} as updated_at
        """,
        updated,
        base,
        person[row],
        "email_typed cc nat market",
        key="receipt_id",
        broken=[("total_amount", "twelve"), ("currency", "ZZZ"), ("receipt_type", "gift")],
        record="receipt_id",
    )
