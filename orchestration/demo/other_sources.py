"""The ERP's invoices, the answers on consent forms and the exchange rates."""

from typing import Any

import numpy as np
import pyarrow as pa

from orchestration.demo import names
from orchestration.demo.company_settings import Settings
from orchestration.demo.delivery import (
    DAY,
    HOUR,
    Flags,
    History,
    Ints,
    Output,
    maybe,
    milliseconds,
    months_before,
    plan_delivery,
)  # fmt: skip
from orchestration.demo.people import GUEST, People
from orchestration.demo.shop import PER_POUND, Shop, time_text, waking_hours

FIRST_INVOICE = 536_365
ITEMS = (
    ("WHITE HANGING HEART LIGHT HOLDER", 255), ("METAL LANTERN", 339), ("CREAM HEART HANGER", 275),
    ("UNION FLAG WATER BOTTLE", 339), ("RED WOOLLY HEART", 339), ("GLASS STAR T-LIGHT", 425),
    ("HAND WARMER BIRD", 185), ("BIRD ORNAMENT", 169), ("FELTCRAFT DOLL", 295),
    ("KNITTED MUG COSY", 165), ("BOX OF VINTAGE BLOCKS", 495), ("PLAYHOUSE BEDROOM", 210),
    ("IVORY TEA SET", 995), ("JAM MAKING SET", 425), ("RED COAT RACK", 495), ("ALARM CLOCK", 375),
    ("PAPER CHAIN KIT", 295), ("CAKE CASES PACK OF 72", 55), ("LUNCH BAG SPACEBOY", 165),
    ("ROUND SNACK BOXES", 295), ("RECIPE BOX", 795), ("CAKESTAND 3 TIER", 1275),
)  # fmt: skip
POSTAGE = len(ITEMS)
BAD_DEBT = POSTAGE + 1
CODES = [f"{20_000 + 617 * i}{'' if i % 3 else 'ABC'[i % 9 // 3]}" for i in range(len(ITEMS))]


def make_erp(
    rng: np.random.Generator,
    people: People,
    settings: Settings,
    history: History,
    output: Output,
) -> Ints:
    """Invoices of people in GB who order by phone; returns the people who have any."""
    span = history.end - history.start
    customers = np.flatnonzero(people.erp_no > 0)
    invoices = 1 + rng.poisson(3.0, len(customers))
    person = np.repeat(customers, invoices)
    begin = history.start + (rng.random(len(customers)) * span * 0.8).astype(np.int64)
    first = np.repeat(begin, invoices)
    time = first + (rng.random(len(person)) * (history.end - first)).astype(np.int64)
    # Sales over the counter: nobody, not even the truth, knows who it was.
    counter = round(len(person) * settings.sizes["erp_guest_invoices"])
    person = np.concatenate([person, np.full(counter, -1)])
    counter_times = history.start + rng.integers(0, span, counter)
    time = waking_hours(rng, np.concatenate([time, counter_times]))
    back = np.flatnonzero((rng.random(len(person)) < 0.06) & (person >= 0))
    back_time = time[back] + rng.integers(2 * DAY, 20 * DAY, len(back))
    back = back[back_time < history.end - DAY]
    total = len(person)
    credit = np.concatenate([np.zeros(total, dtype=bool), np.ones(len(back), dtype=bool)])
    origin = np.concatenate([np.arange(total), back])
    person = np.concatenate([person, person[back]])
    time = np.concatenate([time, waking_hours(rng, time[back] + 3 * DAY)])
    time = np.clip(time, history.start + HOUR, history.end - HOUR) // 60_000 * 60_000
    order = np.lexsort((origin, credit, time))
    number = np.empty(len(order), dtype=np.int64)
    number[order] = FIRST_INVOICE + np.arange(len(order))

    lines = np.minimum(1 + rng.geometric(0.18, total), 30)
    begin_line = np.cumsum(lines) - lines
    sizes = np.where(credit, 1, lines[origin])
    invoice = np.repeat(np.arange(len(origin)), sizes)
    within = np.arange(len(invoice)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    item = rng.integers(0, len(ITEMS), int(lines.sum()))
    pieces = rng.choice([1, 2, 3, 4, 6, 8, 12, 24], int(lines.sum())).astype(np.int64)
    item[begin_line[rng.random(total) < 0.03]] = POSTAGE
    pieces[item == POSTAGE] = 1
    line = begin_line[origin[invoice]] + within
    # The ERP writes an equal line for the same article scanned twice.
    twice = np.flatnonzero((rng.random(len(line)) < 0.02) & ~credit[invoice])
    rows = np.sort(np.concatenate([np.arange(len(line)), twice]))
    invoice, line = invoice[rows], line[rows]
    item, pieces = item[line], pieces[line]
    debts = np.full(2 if total else 0, len(origin))
    if len(debts):
        invoice, item = np.concatenate([invoice, debts]), np.append(item, [BAD_DEBT, BAD_DEBT])
        pieces = np.append(pieces, [1, 1])
        person, credit = np.append(person, -1), np.append(credit, False)
        number, time = np.append(number, FIRST_INVOICE + len(order)), np.append(
            time, history.end - 40 * DAY
        )  # fmt: skip

    periods = history.by_month()
    plan = plan_delivery(rng, time[invoice], periods, settings.rows, group=invoice, repeats=False)
    row = plan.row
    of = invoice[row]
    price = np.array([p for _, p in ITEMS] + [1800, -110_620])
    words_of = [name for name, _ in ITEMS] + ["POSTAGE", "Adjust bad debt"]
    known = person[of] >= 0
    base = pa.table(
        {
            "number": number[of],
            "credit": credit[of],
            "code": pa.array([*CODES, "POST", "B"]).take(pa.array(item[row])),
            "name": pa.array(words_of).take(pa.array(item[row])),
            "bad_debt": item[row] == BAD_DEBT,
            "pieces": pieces[row],
            "happened": time[of],
            "price": price[item[row]],
            "customer": maybe(people.erp_no[np.maximum(person[of], 0)], known),
        }
    )
    words = output.render(
        f"""
        select case when bad_debt then 'A' when credit then 'C' else '' end || number as InvoiceNo,
            code as StockCode, name as Description,
            cast(case when credit then -pieces else pieces end as varchar) as Quantity,
            {time_text("happened")} as InvoiceDate,
            cast(cast(price as decimal(18, 2)) / 100 as decimal(18, 2))::varchar as UnitPrice,
            customer || '.0' as CustomerID, 'United Kingdom' as Country
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "erp", "invoice_lines", words, plan, periods, "InvoiceNo",
        [("Quantity", "six"), ("UnitPrice", "2.55 each"), ("InvoiceDate", "Tuesday")],
        oddities=True,
    )  # fmt: skip
    told = np.flatnonzero(person >= 0)
    base = pa.table({"number": number[told], "credit": credit[told]})
    keys = output.render(
        "select case when credit then 'C' else '' end || number as key from base", base=base
    )["key"]
    output.record("erp", "invoice_lines", keys, person[told])
    return customers


def make_consent(
    rng: np.random.Generator,
    people: People,
    shop: Shop,
    settings: Settings,
    history: History,
    output: Output,
) -> tuple[Flags, Flags]:
    """Answers per contact point; returns who was asked for the e-mail and for the phone."""
    rates = settings.consent
    count = len(people)
    contact = np.where(people.account, shop.opened, shop.first_order)
    # A guest who gave the office's mailbox or junk as address cannot answer for it.
    own_email = people.account | ((people.kind == GUEST) & (people.office < 0) & (people.junk != 1))
    asked = people.known & (rng.random(count) < rates["asked"])
    by_email = asked & own_email
    by_phone = asked & people.has_phone & (rng.random(count) < rates["phone_asked"])

    def answers(who: Ints, kind: str, channel: str, purpose: str, yes: float) -> dict[str, Any]:
        size = len(who)
        says_yes = rng.random(size) < yes
        at = np.minimum(contact[who] + rng.integers(60_000, DAY, size), history.end - HOUR)
        changes = says_yes & (rng.random(size) < rates["withdrawn"])
        later = at + (rng.exponential(150, size) * DAY).astype(np.int64) + HOUR
        changes &= later < history.end - HOUR
        returns = changes & (rng.random(size) < 0.1) & (later + 30 * DAY < history.end - HOUR)
        status = np.where(says_yes, 0, np.where(rng.random(size) < 0.93, 2, 3))
        person = np.concatenate([who, who[changes], who[returns]])
        return {
            "person": person,
            "at": np.concatenate([at, later[changes], later[returns] + 30 * DAY]),
            "status": np.concatenate(
                [status, np.full(int(changes.sum()), 1), np.full(int(returns.sum()), 0)]
            ),
            "labels": (kind, channel, purpose),
        }

    yes = rates["subscribed"]
    emails, phones = np.flatnonzero(by_email), np.flatnonzero(by_phone)
    some = emails[rng.random(len(emails)) < 0.15]
    few = emails[rng.random(len(emails)) < 0.08]
    voices = phones[rng.random(len(phones)) < 0.15]
    parts = [
        answers(emails, "email", "email", "marketing", yes),
        answers(some, "email", "email", "service", 0.9),
        answers(few, "email", "email", "profiling", 0.5),
        answers(few, "email", "ads", "marketing", 0.5),
        answers(phones, "phone", "sms", "marketing", yes * 0.8),
        answers(voices, "phone", "voice", "marketing", 0.4),
    ]
    person = np.concatenate([part["person"] for part in parts])
    at = np.concatenate([part["at"] for part in parts])
    status = np.concatenate([part["status"] for part in parts])
    block = np.concatenate([np.full(len(part["person"]), i) for i, part in enumerate(parts)])
    order = np.lexsort((block, person, at))
    person, at, status, block = person[order], at[order], status[order], block[order]
    labels = [part["labels"] for part in parts]
    expires = (rng.random(len(person)) < rates["expiring"]) & (status == 0)
    ends = at + rng.choice([180, 365, 730], len(person)) * DAY
    forms = people.phone_forms(rng, person)
    total = len(person)

    periods = history.by_month()
    plan = plan_delivery(rng, at, periods, settings.rows)
    row = plan.row

    def label(place: int) -> pa.Array:
        return pa.array([entry[place] for entry in labels]).take(pa.array(block[row]))

    base = pa.table(
        {
            "n": row,
            "kind": label(0),
            "channel": label(1),
            "purpose": label(2),
            "status": pa.array(["subscribed", "unsubscribed", "did_not_subscribe", "unknown"]).take(
                pa.array(status[row])
            ),
            "happened": at[row],
            "ends": maybe(ends[row], expires[row]),
            "form": forms[row],
            **people.take(person[row], "email_typed nat cc market country jurisdiction"),
        }
    )
    words = output.render(
        f"""
        select 'ce-' || lpad(n::varchar, 8, '0') as consent_event_id, kind as contact_point_type,
            case when kind = 'email' then email_typed end as email,
            case when kind = 'phone' then typed_phone(cc, nat, market, form) end as phone,
            country as country_code, channel, purpose, status, jurisdiction,
            case when purpose = 'service' then 'contract' else 'consent' end as basis,
            {time_text("happened")} as captured_at,
            -- Ten minutes later the link in the mail was followed, but for some who never did.
            case when status = 'subscribed' and jurisdiction = 'GDPR' and kind = 'email'
                and n % 12 > 0 then {time_text("happened + 600000")} end as confirmed_at,
            {time_text("ends")} as expires_at,
            case when status = 'unsubscribed' then 'preference_centre'
                when n % 3 = 0 then 'newsletter_form' else 'checkout' end as source,
            'form-' || (n % 7 + 1) || '/' || n as proof_ref
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "consent", "consent_events", words, plan, periods, "consent_event_id",
        [("status", "perhaps"), ("captured_at", "soon"), ("channel", "pigeon")],
    )  # fmt: skip
    base = pa.table({"n": np.arange(total)})
    keys = output.render("select 'ce-' || lpad(n::varchar, 8, '0') as key from base", base=base)
    output.record("consent", "consent_events", keys["key"], person)
    return by_email, by_phone


def make_rates(
    rng: np.random.Generator, settings: Settings, history: History, output: Output
) -> None:
    """Pounds for one of each currency and day; a random walk that leads back to its start."""
    first = months_before(history.as_of, history.months)
    days = (history.as_of - first).days
    levels = np.array([1 / p for p in PER_POUND[:3]] + [0.76, 0.86])
    codes = [*names.CURRENCIES[:3], "USD", "EUR"]
    steps = rng.normal(0, 0.003, (days, len(codes)))
    walk = np.zeros((days, len(codes)))
    for day in range(1, days):
        walk[day] = walk[day - 1] * 0.995 + steps[day]
    rate = (np.exp(walk) * levels).reshape(-1)
    start = milliseconds(first)
    at = np.repeat(start + np.arange(days) * DAY, len(codes))
    periods = history.by_quarter()
    plan = plan_delivery(rng, at, periods, {**settings.rows, "malformed": 0.0})
    row = plan.row
    base = pa.table(
        {
            "day": at[row],
            "currency": pa.array(codes).take(pa.array(row % len(codes))),
            "rate": np.round(rate * 1e8).astype(np.int64)[row],
            # Published in the afternoon of the same day, as central banks do.
            "published": np.minimum(at[row] + 16 * HOUR, history.end - HOUR),
        }
    )
    words = output.render(
        f"""
        select strftime(epoch_ms(day), '%Y-%m-%d') as rate_date, currency,
            cast(cast(rate as decimal(18, 8)) / 100000000 as decimal(18, 8))::varchar as rate,
            {time_text("published")} as published_at
        from base
        """,
        base=base,
    )
    output.write_csv_files("fx", "rates", words, plan, periods)
