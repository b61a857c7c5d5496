"""The web shop: products, accounts, orders with lines, refunds and payments."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.demo import names
from orchestration.demo.company_settings import Settings
from orchestration.demo.delivery import (
    DAY,
    HOUR,
    MINUTE,
    Flags,
    History,
    Ints,
    Output,
    Plan,
    maybe,
    plan_delivery,
)  # fmt: skip
from orchestration.demo.people import (
    GUEST,
    LOYAL,
    ONCE,
    REGISTERED,
    REPEAT,
    People,
    national_numbers,
)  # fmt: skip

CUSTOMER_ID, ORDER_ID, LINE_ID = 6_800_000_000_000, 5_400_000_000_000, 13_900_000_000_000
PRODUCT_ID, VARIANT_ID, ADDRESS_ID = 7_100_000_000_000, 41_000_000_000_000, 8_200_000_000_000
REFUND_ID, REFUND_LINE_ID, TENDER_ID = 900_000_000_000, 460_000_000_000, 6_100_000_000_000

# One pound in each market's money, and the step that prices there are rounded to, in hundredths.
# The rial's rate is of the size of the official one of earlier years: the market's rate has only
# two digits left in the declared decimal(18,8).
PER_POUND = (32_000.0, 40.0, 55_000.0, 1.0)
PRICE_STEP = (100_000, 100, 100_000, 5)
PRICE_LEVEL = (0.45, 0.8, 0.5, 1.0)
TAX_PER_THOUSAND = (80, 50, 100, 200)
SHIPPING_POUNDS = (1.0, 2.0, 1.2, 3.95)
PAYMENTS = (
    ("momo", "cash", "bank_transfer", "credit_card"),
    ("line_pay", "credit_card", "cash", "bank_transfer"),
    ("bank_transfer", "cash", "credit_card", "bank_transfer"),
    ("credit_card", "paypal", "apple_pay", "credit_card"),
)
EMAIL_ACCOUNT, EMAIL_SECOND, EMAIL_OFFICE, EMAIL_JUNK = range(4)
PAID, PENDING, CANCELLED, REFUNDED, PARTLY = range(5)


@dataclass
class Shop:
    """Columns over accounts' opening, orders and lines; times in milliseconds."""

    opened: Ints
    first_order: Ints
    last_order: Ints
    person: Ints
    time: Ints
    guest: Flags
    email_kind: Ints
    in_shop: Flags
    currency_market: Ints
    total: Ints
    line_start: Ints
    line_count: Ints
    line_product: Ints
    line_price: Ints
    prices: Ints

    def order_ids(self, order: Ints) -> Ints:
        return ORDER_ID + order * 131


def customer_ids(person: Ints) -> Ints:
    return CUSTOMER_ID + person * 97


def product_ids(product: Ints) -> Ints:
    return PRODUCT_ID + product * 32_768


def time_text(column: str) -> str:
    """SQL for a time in milliseconds as the CSV exports write it, in UTC."""
    return f"strftime(epoch_ms({column}), '%Y-%m-%d %H:%M:%S')"


def money_text(column: str) -> str:
    """SQL for an amount in hundredths as a plain decimal."""
    return f"cast(cast({column} as decimal(18, 2)) / 100 as decimal(18, 2))::varchar"


def waking_hours(rng: np.random.Generator, times: Ints) -> Ints:
    """The same days at hours when people are awake, most of them in the evening."""
    hour = np.clip(rng.normal(13.0, 3.6, len(times)), 1.0, 22.9)
    return times // DAY * DAY + (hour * HOUR).astype(np.int64)


def _prices(rng: np.random.Generator, products: int) -> Ints:
    """Prices in hundredths per market and product, cheap ones first."""
    pounds = np.sort(np.clip(rng.lognormal(2.5, 0.7, products), 1.5, 220.0))
    rows = []
    for market in range(4):
        exact = pounds * PER_POUND[market] * PRICE_LEVEL[market] * 100
        step = PRICE_STEP[market]
        rows.append(np.maximum(np.round(exact / step), 1).astype(np.int64) * step)
    return np.array(rows)


def make_shop(
    rng: np.random.Generator, people: People, settings: Settings, history: History, output: Output
) -> Shop:
    """Draw the orders, write all tables of the shop but the checkouts left behind."""
    rates = settings.orders
    count, start, end = len(people), history.start, history.end
    span = end - start
    kind = people.kind
    orders = np.zeros(count, dtype=np.int64)
    orders[kind == GUEST] = 1
    orders[(kind == GUEST) & (rng.random(count) < 0.12)] = 2
    orders[kind == ONCE] = 1
    orders[kind == REPEAT] = 2 + rng.binomial(2, 0.35, int((kind == REPEAT).sum()))
    orders[kind == LOYAL] = 5 + rng.poisson(3.0, int((kind == LOYAL).sum()))

    # Buyers of several orders begin early; two fifths of them stop some time: the lost ones.
    several = orders > 1
    begin = start + (rng.random(count) * span * np.where(several, 0.75, 0.995)).astype(np.int64)
    goes_on = rng.random(count) < 0.6
    stop = np.where(goes_on, end, begin + ((end - begin) * rng.random(count)).astype(np.int64))
    person = np.repeat(np.arange(count), orders)
    total = len(person)
    time = begin[person] + (rng.random(total) * (stop - begin)[person]).astype(np.int64)
    single = orders[person] == 1
    time[single] = begin[person][single]
    time = np.clip(waking_hours(rng, time), start + HOUR, end - HOUR)
    time += rng.integers(0, 59_000, total)
    order = np.lexsort((person, time))
    person, time = person[order], time[order]

    first = np.full(count, end)
    np.minimum.at(first, person, time)
    last = np.full(count, start)
    np.maximum.at(last, person, time)

    earlier = np.where(
        rng.random(count) < 0.55, 4 * MINUTE, (rng.exponential(25, count) * DAY).astype(np.int64)
    )
    opened = np.maximum(first - earlier - 10 * MINUTE, start + MINUTE)
    registered = kind == REGISTERED
    opened[registered] = start + (rng.random(int(registered.sum())) ** 0.7 * (span - DAY)).astype(
        np.int64
    )

    guest = (kind[person] == GUEST) | (
        people.account[person] & (rng.random(total) < rates["account_as_guest"])
    )
    email_kind = np.full(total, EMAIL_ACCOUNT)
    # The second address shows in the latest order of half of its owners; see web.py for the rest.
    is_last = time == last[person]
    second = people.two_emails[person] & (orders[person] > 1) & is_last
    guest |= second
    email_kind[second] = EMAIL_SECOND
    office = (people.office[person] >= 0) & (kind[person] == GUEST)
    email_kind[office] = EMAIL_OFFICE
    junk = (people.junk[person] == 1) & (kind[person] == GUEST)
    email_kind[junk] = EMAIL_JUNK
    in_shop = ~guest & (rng.random(total) < rates["point_of_sale"])

    market = people.market[person]
    prices = _prices(rng, settings.sizes["products"])
    lines = rng.choice(6, total, p=[0.38, 0.28, 0.18, 0.09, 0.05, 0.02]) + 1
    line_start = np.concatenate([[0], np.cumsum(lines)[:-1]])
    line_order = np.repeat(np.arange(total), lines)
    size = len(line_order)
    # Big spenders look at the dear end of the list.
    taste = rng.random(size) ** (1 / people.spending[person[line_order]])
    product = np.minimum((taste * prices.shape[1]).astype(np.int64), prices.shape[1] - 1)
    price = prices[market[line_order], product]
    quantity = rng.choice([1, 1, 1, 1, 1, 1, 2, 2, 3, 4], size).astype(np.int64)
    gross = price * quantity
    sale = (rng.random(total) < 0.18)[line_order]
    discount = np.where(sale, gross // 1000 * 100, 0)
    net = gross - discount
    line_tax = net * np.array(TAX_PER_THOUSAND)[market[line_order]] // 1000

    def per_order(values: Ints) -> Ints:
        return np.add.reduceat(values, line_start) if total else values

    subtotal, tax, discounts = per_order(net), per_order(line_tax), per_order(discount)
    shipping = np.array(
        [round(p * rate) * 100 if rate > 1 else round(p * 100) for p, rate in
         zip(SHIPPING_POUNDS, PER_POUND, strict=True)]
    )[market]  # fmt: skip
    free = in_shop | (subtotal > 40 * 100 * np.array(PER_POUND)[market])
    amount = subtotal + tax + np.where(free, 0, shipping)

    shop = Shop(
        opened=opened, first_order=first, last_order=last, person=person, time=time, guest=guest,
        email_kind=email_kind, in_shop=in_shop, currency_market=market, total=amount,
        line_start=line_start, line_count=lines, line_product=product, line_price=price,
        prices=prices,
    )  # fmt: skip
    fate = rng.choice(
        4,
        total,
        p=[
            1 - rates["cancelled"] - rates["refunded"] - rates["partly_refunded"],
            rates["cancelled"],
            rates["refunded"],
            rates["partly_refunded"],
        ],
    )
    outcome = np.array([PAID, CANCELLED, REFUNDED, PARTLY])[fate]
    changed = time + (rng.exponential(6, total) * DAY).astype(np.int64) + 2 * HOUR
    # What has not happened by the last day is not known yet.
    outcome[changed >= end - HOUR] = PAID
    pay = rng.integers(0, 4, total)
    method = pa.array([m for row in PAYMENTS for m in row]).take(pa.array(market * 4 + pay))
    waits = np.isin(pay, (2,)) & (outcome == PAID) & (changed < end - HOUR)

    _write_products(rng, settings, history, output, prices)
    _write_customers(rng, people, shop, settings, history, output)
    _write_orders(
        rng, people, shop, settings, history, output, outcome, changed, waits,
        subtotal, discounts, tax,
    )  # fmt: skip
    _write_lines(rng, shop, settings, history, output, line_order, quantity, discount)
    _write_money_back(
        rng, shop, settings, history, output, outcome, changed, method, waits,
        quantity, net, line_tax,
    )  # fmt: skip
    return shop


def _write_products(
    rng: np.random.Generator, settings: Settings, history: History, output: Output, prices: Ints
) -> None:
    count = settings.sizes["products"]
    things = [(word, kind) for kind, words in names.CATEGORIES.items() for word in words.split()]
    number = np.arange(count)
    titles = [f"{names.ADJECTIVES[i // len(things) % 5]} {things[i % len(things)][0]}" for i in
              number]  # fmt: skip
    created = np.full(count, history.start + HOUR)
    updated = created + (rng.random(count) * (history.end - history.start - DAY)).astype(np.int64)
    again = np.flatnonzero(rng.random(count) < 0.3)
    row = np.concatenate([number, again])
    times = np.concatenate([created, updated[again]])
    periods = history.by_quarter()
    plan = plan_delivery(rng, times, periods, {**settings.rows, "malformed": 0})
    base = pa.table(
        {
            "n": row[plan.row],
            "id": product_ids(row[plan.row]),
            "title": pa.array(titles).take(pa.array(row[plan.row])),
            "kind": pa.array([things[i % len(things)][1] for i in row[plan.row]]),
            "brand": pa.array([names.BRANDS[i % len(names.BRANDS)] for i in row[plan.row]]),
            "second": plan.row >= count,
            "created": created[row[plan.row]],
            "updated": times[plan.row],
            "synced": plan.delivered,
            "price": prices[3][row[plan.row]],
        }
    )
    synced = f"{time_text('synced')} as _fivetran_synced"
    words = output.render(
        f"""
        select cast(id as varchar) as id, title, kind as product_type, brand as vendor,
            case when second and n % 7 = 0 then 'archived' else 'active' end as status,
            {time_text("created")} as created_at, {time_text("updated")} as updated_at,
            'false' as _fivetran_deleted, {synced}
        from base
        """,
        base=base,
    )
    output.write_csv_files("shopify", "product", words, plan, periods)
    words = output.render(
        f"""
        select cast({VARIANT_ID} + n * 32768 as varchar) as id, cast(id as varchar) as product_id,
            'SKU-' || lpad(cast(n as varchar), 4, '0') as sku, {money_text("price")} as price,
            cast(20 + n % 60 as varchar) as inventory_quantity,
            {time_text("created")} as created_at, {time_text("updated")} as updated_at, {synced}
        from base
        """,
        base=base,
    )
    output.write_csv_files("shopify", "product_variant", words, plan, periods)


def _write_customers(
    rng: np.random.Generator,
    people: People,
    shop: Shop,
    settings: Settings,
    history: History,
    output: Output,
) -> None:
    """Accounts in one to three versions, and their address books."""
    who = np.flatnonzero(people.account)
    opened = shop.opened[who]
    verified = opened + rng.integers(5 * MINUTE, 3 * DAY, len(who))
    later = verified + (rng.exponential(120, len(who)) * DAY).astype(np.int64)
    two = (rng.random(len(who)) < 0.55) & (verified < history.end - HOUR)
    three = two & (rng.random(len(who)) < 0.2) & (later < history.end - HOUR)
    row = np.concatenate([np.arange(len(who)), np.flatnonzero(two), np.flatnonzero(three)])
    version = np.repeat([0, 1, 2], [len(who), int(two.sum()), int(three.sum())])
    times = np.concatenate([opened, verified[two], later[three]])
    periods = history.by_month()
    plan = plan_delivery(rng, times, periods, settings.rows)
    # Shopify lets one account have a phone, so of a family only the first has it there.
    shows = people.has_phone[who] & (rng.random(len(who)) < 0.75)
    shows &= ~people.family_member[who] | people.family_leader[who]
    accepts = rng.random(len(who)) < 0.5
    picked = row[plan.row]
    base = pa.table(
        {
            "id": customer_ids(who[picked]),
            **people.take(who[picked], "email_a phone given family currency"),
            "shows": shows[picked],
            "accepts": accepts[picked],
            "version": version[plan.row],
            "opened": opened[picked],
            "updated": times[plan.row],
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select cast(id as varchar) as id, email_a as email,
            case when shows then phone end as phone, given as first_name, family as last_name,
            case when version = 2 and id % 13 = 0 then 'disabled' else 'enabled' end as state,
            currency, cast(version > 0 as varchar) as verified_email,
            cast(accepts <> (version = 2) as varchar) as accepts_marketing,
            {time_text("opened")} as created_at, {time_text("updated")} as updated_at,
            'false' as _fivetran_deleted, {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "customer", words, plan, periods, "id",
        [("created_at", "yesterday"), ("currency", "ZZZ"), ("verified_email", "perhaps")],
        oddities=True,
    )  # fmt: skip
    output.record("shopify", "customer", pa.array(customer_ids(who)).cast(pa.string()), who)

    keeps = np.flatnonzero(rng.random(len(who)) < 0.7)
    owner = who[keeps]
    times = np.minimum(opened[keeps] + 20 * MINUTE, history.end - HOUR)
    periods = history.by_quarter()
    plan = plan_delivery(rng, times, periods, settings.rows)
    base = pa.table(
        {
            "n": plan.row,
            "id": customer_ids(owner[plan.row]),
            **people.take(
                owner[plan.row],
                "given family cc nat market street city region postal_code country",
            ),
            "form": people.phone_forms(rng, owner)[plan.row],
            "gone": (rng.random(len(owner)) < 0.03)[plan.row],
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select cast({ADDRESS_ID} + n * 61 as varchar) as id, cast(id as varchar) as customer_id,
            given as first_name, family as last_name,
            typed_phone(cc, nat, market, form) as phone, street as address_1, city,
            region as province, postal_code as zip, country as country_code,
            'true' as is_default, cast(gone as varchar) as _fivetran_deleted,
            {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "customer_address", words, plan, periods, "id", [("is_default", "perhaps")]
    )


def _gifts(rng: np.random.Generator, people: People, shop: Shop, rate: float) -> tuple[Flags, Ints]:
    """Which orders go to somebody else, and to whom: another customer, or -1 for a stranger."""
    gift = rng.random(len(shop.person)) < rate
    receiver = np.full(len(shop.person), -1, dtype=np.int64)
    customer = gift & (rng.random(len(gift)) < 0.5)
    for market in range(4):
        neighbours = np.flatnonzero((people.market == market) & people.known)
        rows = np.flatnonzero(customer & (shop.currency_market == market))
        if len(neighbours):
            receiver[rows] = rng.choice(neighbours, len(rows))
    receiver[receiver == shop.person] = -1
    return gift, receiver


def _write_orders(
    rng: np.random.Generator,
    people: People,
    shop: Shop,
    settings: Settings,
    history: History,
    output: Output,
    outcome: Ints,
    changed: Ints,
    waits: Flags,
    subtotal: Ints,
    discounts: Ints,
    tax: Ints,
) -> None:
    total = len(shop.person)
    gift, receiver = _gifts(rng, people, shop, settings.orders["gift"])
    other = np.where(receiver >= 0, receiver, shop.person)
    # A stranger's name is borrowed from anybody's words; the phone is one that nobody has.
    stranger = gift & (receiver < 0)
    strange_phone = national_numbers(
        len(people) + np.arange(total), shop.currency_market, people.phone_shift
    )
    same_market = np.arange(total)
    for market in range(4):
        rows = np.flatnonzero(shop.currency_market == market)
        same_market[rows] = rng.permutation(rows)
    named = np.where(stranger, shop.person[same_market], other)
    form = people.phone_forms(rng, shop.person)
    ship_form = people.phone_forms(rng, other)
    source = rng.random(total) < 0.18
    test = rng.random(total) < settings.orders["test"]

    second = (outcome != PAID) | waits
    row = np.concatenate([np.arange(total), np.flatnonzero(second)])
    version = np.repeat([0, 1], [total, int(second.sum())])
    times = np.concatenate([shop.time, changed[second]])
    periods = history.by_month()
    plan: Plan = plan_delivery(rng, times, periods, settings.rows)
    picked = row[plan.row]
    person = shop.person[picked]
    ships = {
        f"ship_{name}": column
        for name, column in people.take(named[picked], "given family").items()
    }
    ship_nat = people.take(other[picked], "nat")["nat"].combine_chunks()
    base = pa.table(
        {
            "n": picked,
            "id": shop.order_ids(picked),
            "customer": maybe(customer_ids(person), ~shop.guest[picked]),
            **people.take(
                person,
                "email_typed email_b office_mailbox junk_email junk_phone given_typed family_typed "
                "cc nat market street city postal_code country currency",
            ),
            **ships,
            "ship_nat": pc.if_else(
                pa.array(stranger[picked]), strange_phone.take(pa.array(picked)), ship_nat
            ),
            "ship_form": ship_form[picked],
            "email_kind": shop.email_kind[picked],
            "form": form[picked],
            "in_shop": shop.in_shop[picked],
            "in_app": source[picked],
            "guest": shop.guest[picked],
            "test": test[picked],
            "outcome": outcome[picked],
            "waits": waits[picked],
            "version": version[plan.row],
            "subtotal": subtotal[picked],
            "discounts": discounts[picked],
            "tax": tax[picked],
            "total": shop.total[picked],
            "ordered": shop.time[picked],
            "updated": times[plan.row],
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select
            cast(id as varchar) as id, cast(customer as varchar) as customer_id,
            case email_kind when 0 then email_typed when 1 then email_b
                when 2 then office_mailbox else junk_email end as email,
            '#' || (n + 1001) as name, currency, {money_text("subtotal")} as subtotal_price,
            {money_text("discounts")} as total_discounts, {money_text("tax")} as total_tax,
            {money_text("total")} as total_price,
            case
                when version = 0 and waits then 'pending'
                when version = 0 or outcome = {PAID} then 'paid'
                when outcome = {CANCELLED} then 'voided'
                when outcome = {REFUNDED} then 'refunded'
                else 'partially_refunded'
            end as financial_status,
            case when in_shop then 'pos' when in_app and not guest then 'app' else 'web' end
                as source_name,
            {time_text("ordered")} as created_at, {time_text("updated")} as updated_at,
            case when version = 1 and outcome = {CANCELLED} then {time_text("updated")} end
                as cancelled_at,
            cast(test as varchar) as test,
            coalesce(junk_phone, typed_phone(cc, nat, market, form)) as billing_address_phone,
            given_typed as billing_address_first_name, family_typed as billing_address_last_name,
            street as billing_address_address_1, city as billing_address_city,
            postal_code as billing_address_zip, country as billing_address_country_code,
            ship_given as shipping_address_first_name, ship_family as shipping_address_last_name,
            typed_phone(cc, ship_nat, market, ship_form) as shipping_address_phone,
            country as shipping_address_country_code,
            'false' as _fivetran_deleted, {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "order", words, plan, periods, "id",
        [("total_price", "twelve"), ("currency", "ZZZ"), ("created_at", "31.02.2026 lunch")],
        oddities=True,
    )  # fmt: skip
    ids = pa.array(shop.order_ids(np.arange(total))).cast(pa.string())
    output.record("shopify", "order", ids, shop.person)


def _write_lines(
    rng: np.random.Generator,
    shop: Shop,
    settings: Settings,
    history: History,
    output: Output,
    line_order: Ints,
    quantity: Ints,
    discount: Ints,
) -> None:
    periods = history.by_month()
    plan = plan_delivery(rng, shop.time[line_order], periods, settings.rows)
    row = plan.row
    things = [word for words in names.CATEGORIES.values() for word in words.split()]
    titles = [
        f"{names.ADJECTIVES[i // len(things) % 5]} {things[i % len(things)]}"
        for i in range(settings.sizes["products"])
    ]
    product = shop.line_product[row]
    base = pa.table(
        {
            "n": row,
            "order_id": shop.order_ids(line_order[row]),
            "product": product,
            "product_id": product_ids(product),
            "title": pa.array(titles).take(pa.array(product)),
            "price": shop.line_price[row],
            "quantity": quantity[row],
            "discount": discount[row],
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select cast({LINE_ID} + n * 17 as varchar) as id, cast(order_id as varchar) as order_id,
            cast(product_id as varchar) as product_id,
            cast({VARIANT_ID} + product * 32768 as varchar) as variant_id,
            'SKU-' || lpad(cast(product as varchar), 4, '0') as sku, title,
            {money_text("price")} as price, cast(quantity as varchar) as quantity,
            {money_text("discount")} as total_discount, {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "order_line", words, plan, periods, "id",
        [("quantity", "two"), ("price", "free")],
    )  # fmt: skip


def _write_money_back(
    rng: np.random.Generator,
    shop: Shop,
    settings: Settings,
    history: History,
    output: Output,
    outcome: Ints,
    changed: Ints,
    method: pa.Array,
    waits: Flags,
    quantity: Ints,
    net: Ints,
    line_tax: Ints,
) -> None:
    """Refunds, their lines, and the money moved: all of it, or one line's worth."""
    order = np.flatnonzero(np.isin(outcome, (REFUNDED, PARTLY)))
    lines = np.where(outcome[order] == REFUNDED, shop.line_count[order], 1)
    refund = np.repeat(np.arange(len(order)), lines)
    within = np.arange(len(refund)) - np.repeat(np.cumsum(lines) - lines, lines)
    line = shop.line_start[order][refund] + within
    full = outcome[order][refund] == REFUNDED
    pieces = np.where(full, quantity[line], np.maximum(quantity[line] // 2, 1))
    given_back = net[line] * pieces // quantity[line]
    tax_back = line_tax[line] * pieces // quantity[line]
    amount = np.zeros(len(order), dtype=np.int64)
    np.add.at(amount, refund, given_back + tax_back)
    amount = np.where(outcome[order] == REFUNDED, shop.total[order], amount)

    periods = history.by_quarter()
    plan = plan_delivery(rng, changed[order], periods, settings.rows)
    base = pa.table(
        {
            "n": plan.row,
            "order_id": shop.order_ids(order[plan.row]),
            "made": changed[order][plan.row],
            "note": pa.array(["Damaged", "Did not fit", "Changed mind", None]).take(
                pa.array(plan.row % 4)
            ),
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select cast({REFUND_ID} + n * 23 as varchar) as id, cast(order_id as varchar) as order_id,
            {time_text("made")} as created_at, note, {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "refund", words, plan, periods, "id", [("created_at", "soon")]
    )
    plan = plan_delivery(rng, changed[order][refund], periods, settings.rows)
    row = plan.row
    base = pa.table(
        {
            "n": row,
            "refund": refund[row],
            "line": line[row],
            "pieces": pieces[row],
            "back": given_back[row],
            "tax": tax_back[row],
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select cast({REFUND_LINE_ID} + n * 29 as varchar) as id,
            cast({REFUND_ID} + refund * 23 as varchar) as refund_id,
            cast({LINE_ID} + line * 17 as varchar) as order_line_id,
            cast(pieces as varchar) as quantity, {money_text("back")} as subtotal,
            {money_text("tax")} as total_tax, {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "order_line_refund", words, plan, periods, "id", [("quantity", "all")]
    )

    paid = np.flatnonzero(outcome != CANCELLED)
    of_order = np.concatenate([paid, order])
    moved = np.concatenate([shop.total[paid], -amount])
    when = np.concatenate(
        [np.where(waits, changed, shop.time + MINUTE)[paid], changed[order] + MINUTE]
    )
    plan = plan_delivery(rng, when, periods, settings.rows)
    row = plan.row
    base = pa.table(
        {
            "n": row,
            "order_id": shop.order_ids(of_order[row]),
            "amount": moved[row],
            "currency": pa.array(names.CURRENCIES).take(
                pa.array(shop.currency_market[of_order[row]])
            ),
            "method": method.take(pa.array(of_order[row])),
            "moved": when[row],
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select cast({TENDER_ID} + n * 19 as varchar) as id, cast(order_id as varchar) as order_id,
            {money_text("amount")} as amount, currency, method as payment_method,
            {time_text("moved")} as processed_at, {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "tender_transaction", words, plan, periods, "id",
        [("amount", "ten"), ("currency", "ZZZ")],
    )  # fmt: skip
