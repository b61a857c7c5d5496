"""Visits to the site and the app, as events, and the checkouts that visitors left behind."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
    odd_periods,
    plan_delivery,
    write_lines,
)  # fmt: skip
from orchestration.demo.people import GUEST, VISITOR, People
from orchestration.demo.shop import (
    EMAIL_ACCOUNT,
    Shop,
    customer_ids,
    money_text,
    product_ids,
    time_text,
    waking_hours,
)  # fmt: skip

CHECKOUT_ID = 30_100_000_000_000
STEP = 45_000
NOBODY, LOGIN, GUEST_FORM, NEWSLETTER = range(4)
PAGE, IDENTIFY, VIEW, ADD, CHECKOUT, DONE = range(6)
DESKTOP, MOBILE, APP = range(3)
# The visits of these remainders by twelve begin with a click on an advertisement.
GOOGLE_CLICK, FACEBOOK_CLICK = 0, 4
# One visit in so many comes from the company's own office.
OFFICE_VISITS = 331


@dataclass
class Sessions:
    """Columns over sessions: who, on which browser, and how many events of each kind."""

    person: Ints
    start: Ints
    pages: Ints
    early: Ints
    views: Ints
    adds: Ints
    late: Ints
    checkout: Ints
    done: Ints
    identify: Ints
    remembered: Flags
    order: Ints
    browser: Ints
    signup: Flags

    @property
    def events(self) -> Ints:
        """How many events each session has."""
        parts = (self.pages, self.early, self.views, self.adds, self.late, self.checkout)
        return np.sum(parts, axis=0) + self.done


@dataclass
class Web:
    """What the truth needs of the visits."""

    browser_person: Ints
    browser_of: Ints
    apps: Flags
    sessions: int
    click_session: Ints
    click_person: Ints
    click_time: Ints


def browser_text(column: str, seed: int, prefix: str = "b") -> str:
    """SQL for a browser's own random id, in the form of a UUID."""
    digest = f"md5('{seed}{prefix}' || {column})"
    return (
        f"{digest}[1:8] || '-' || {digest}[9:12] || '-4' || {digest}[14:16] || '-a' || "
        f"{digest}[18:20] || '-' || {digest}[21:32]"
    )


def cart_text(column: str, seed: int) -> str:
    """SQL for a cart's token: the same in the events and in the shop's checkout."""
    return f"md5('{seed}cart' || {column})"


def click_text(column: str, seed: int) -> str:
    """SQL for the click id of a visit that an advertisement led to: Google's or Facebook's."""
    return (
        f"case when {column} % 12 = {GOOGLE_CLICK} then 'Cj0K' else 'IwAR' end "
        f"|| md5('{seed}click' || {column})"
    )


_COUNTS = "pages early views adds late checkout done identify remembered signup"


def _block(person: Ints, start: Ints, **columns: Ints) -> dict[str, Ints]:
    zeros = np.zeros(len(person), dtype=np.int64)
    block = dict.fromkeys(_COUNTS.split(), zeros)
    return {**block, "order": zeros - 1, "person": person, "start": start, **columns}


def _ordering(rng: np.random.Generator, people: People, shop: Shop) -> dict[str, Ints]:
    """The visit before each order that was not placed in the shop."""
    order = np.flatnonzero(~shop.in_shop)
    size = len(order)
    guest = shop.guest[order]
    logs_in = ~guest & (rng.random(size) < 0.6)
    # A guest checkout tells the address typed there; the account's own person is not known.
    tells = guest & (shop.email_kind[order] == EMAIL_ACCOUNT) & (rng.random(size) < 0.5)
    views = rng.integers(1, 4, size)
    adds = np.minimum(shop.line_count[order], 2)
    late = (logs_in | tells).astype(np.int64)
    events = 1 + views + adds + late + 2
    return _block(
        shop.person[order],
        np.maximum(shop.time[order] - (events - 1) * STEP, 0),
        pages=np.ones(size, dtype=np.int64),
        views=views,
        adds=adds,
        late=late,
        checkout=np.ones(size, dtype=np.int64),
        done=np.ones(size, dtype=np.int64),
        identify=np.where(logs_in, LOGIN, np.where(tells, GUEST_FORM, NOBODY)),
        remembered=(~guest & ~logs_in).astype(np.int64),
        order=order,
    )


def _browsing(
    rng: np.random.Generator, people: People, shop: Shop, settings: Settings, history: History
) -> dict[str, Ints]:
    """Visits without an order, most of them around the time when people buy."""
    count = len(people)
    visits = rng.poisson(settings.web["browse_sessions"], count)
    visitor = people.kind == VISITOR
    visits[visitor] = 1 + rng.poisson(1.6, int(visitor.sum()))
    person = np.repeat(np.arange(count), visits)
    size = len(person)
    contact = np.where(people.account, shop.opened, shop.first_order)
    low = np.where(visitor, history.start, np.maximum(contact - 60 * DAY, history.start))
    high = np.where(visitor, history.end, np.maximum(shop.last_order, contact) + 120 * DAY)
    high = np.minimum(high, history.end)
    low = np.minimum(low, high - DAY)
    start = low[person] + (rng.random(size) * (high - low)[person]).astype(np.int64)
    start = np.clip(waking_hours(rng, start), history.start + HOUR, history.end - HOUR)
    inside = people.account[person] & (start > shop.opened[person] + HOUR)
    draw = rng.random(size)
    logs_in = inside & (draw < 0.3)
    return _block(
        person,
        start,
        pages=rng.integers(1, 3, size),
        early=logs_in.astype(np.int64),
        views=rng.integers(0, 5, size),
        adds=(rng.random(size) < 0.15).astype(np.int64),
        identify=np.where(logs_in, LOGIN, NOBODY),
        remembered=(inside & ~logs_in & (draw < 0.55)).astype(np.int64),
    )


def _abandoning(
    rng: np.random.Generator, people: People, shop: Shop, settings: Settings, history: History
) -> dict[str, Ints]:
    """Checkouts begun and left, some of them in the last seven days."""
    count = len(people)
    times_left = rng.poisson(settings.web["abandoned"], count) * people.known
    person = np.repeat(np.arange(count), times_left)
    contact = np.where(people.account, shop.opened, shop.first_order)
    start = contact[person] + (rng.random(len(person)) * (history.end - contact[person])).astype(
        np.int64
    )
    share = settings.web["abandoned_this_week"]
    recent = np.flatnonzero(people.known & (rng.random(count) < share))
    week = history.end - rng.integers(HOUR, 7 * DAY, len(recent))
    person = np.concatenate([person, recent])
    start = np.concatenate([waking_hours(rng, start), week])
    size = len(person)
    start = np.clip(start, history.start + HOUR, history.end - HOUR)
    account = people.account[person] & (start > shop.opened[person])
    logs_in = account & (rng.random(size) < 0.5)
    return _block(
        person,
        start,
        pages=np.ones(size, dtype=np.int64),
        views=rng.integers(1, 4, size),
        adds=rng.integers(1, 3, size),
        late=logs_in.astype(np.int64),
        checkout=np.ones(size, dtype=np.int64),
        identify=np.where(logs_in, LOGIN, NOBODY),
        remembered=(account & ~logs_in & (rng.random(size) < 0.7)).astype(np.int64),
    )


def _signing_up(people: People, shop: Shop) -> dict[str, Ints]:
    """The visit in which an account is opened: anonymous first, then known."""
    person = np.flatnonzero(people.account)
    ones = np.ones(len(person), dtype=np.int64)
    return _block(
        person,
        shop.opened[person] - STEP,
        pages=ones,
        early=ones,
        views=ones,
        identify=ones * LOGIN,
        signup=ones,
    )


def _newsletter(
    rng: np.random.Generator, people: People, shop: Shop, history: History
) -> dict[str, Ints]:
    """A form filled in without logging in, where the second address or the mailbox shows."""
    told = np.zeros(len(people), dtype=bool)
    told[shop.person[shop.email_kind != EMAIL_ACCOUNT]] = True
    wants = people.two_emails | (people.office >= 0) | (people.junk == 1)
    person = np.flatnonzero(wants & people.account & ~told)
    ones = np.ones(len(person), dtype=np.int64)
    start = shop.opened[person] + (
        rng.random(len(person)) * (history.end - 2 * HOUR - shop.opened[person])
    ).astype(np.int64)
    return _block(person, start, pages=ones, early=ones, identify=ones * NEWSLETTER)


def _sessions(
    rng: np.random.Generator,
    people: People,
    shop: Shop,
    settings: Settings,
    history: History,
) -> tuple[Sessions, Ints]:
    """All visits in the order of time, and the kind of each browser."""
    blocks = [
        _ordering(rng, people, shop),
        _browsing(rng, people, shop, settings, history),
        _abandoning(rng, people, shop, settings, history),
        _signing_up(people, shop),
        _newsletter(rng, people, shop, history),
    ]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    order = np.lexsort((columns["person"], columns["start"]))
    columns = {name: values[order] for name, values in columns.items()}

    count = len(people)
    browsers = np.ones(count, dtype=np.int64)
    share = settings.web["several_browsers"]
    browsers += rng.random(count) < share
    browsers += (browsers > 1) & (rng.random(count) < 0.25)
    first = np.cumsum(browsers) - browsers
    kinds = rng.choice([DESKTOP, MOBILE, MOBILE, APP], int(browsers.sum()) + people.tablets)
    kinds[int(browsers.sum()) :] = APP
    person = columns["person"]
    # The first browser is the usual one.
    which = (rng.random(len(person)) ** 1.5 * browsers[person]).astype(np.int64)
    browser = first[person] + which
    signup = columns["signup"] == 1
    at_tablet = signup & (people.tablet[person] >= 0)
    browser = np.where(at_tablet, int(browsers.sum()) + people.tablet[person], browser)
    columns["remembered"] = columns["remembered"].astype(bool)
    columns["signup"] = signup
    return Sessions(browser=browser, **columns), kinds


def make_web(
    rng: np.random.Generator,
    people: People,
    shop: Shop,
    settings: Settings,
    history: History,
    output: Output,
    seed: int,
) -> Web:
    """Write the events and the checkouts."""
    sessions, browser_kinds = _sessions(rng, people, shop, settings, history)
    counts = sessions.events
    total = int(counts.sum())
    session = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    first = (np.cumsum(counts) - counts).astype(np.int64)
    place = (np.arange(total) - first[session]).astype(np.int16)
    bounds = np.cumsum(
        [sessions.pages, sessions.early, sessions.views, sessions.adds, sessions.late,
         sessions.checkout], axis=0,
    )  # fmt: skip
    kind = np.full(total, PAGE, dtype=np.int8)
    for bound, code in zip(bounds, (IDENTIFY, VIEW, ADD, IDENTIFY, CHECKOUT, DONE), strict=True):
        kind[place >= bound[session]] = code
    # Numbers of events within their kind, to name the lines of the order one after another.
    adds_before = bounds[2]
    nth_add = place - adds_before[session]
    time = sessions.start[session] + place * np.int64(STEP) + rng.integers(0, 40_000, total)
    time = np.clip(time, history.start, history.end - 1000)

    product = rng.integers(0, settings.sizes["products"], total).astype(np.int32)
    order = sessions.order[session]
    of_order = (kind == ADD) & (order >= 0)
    product[of_order] = shop.line_product[shop.line_start[order[of_order]] + nth_add[of_order]]
    login_place = np.where(sessions.early > 0, bounds[0], bounds[3])
    logged_in = sessions.remembered[session] | (
        (sessions.identify == LOGIN)[session] & (place >= login_place[session])
    )
    output.record(
        "web",
        "events",
        _message_ids(output, np.arange(total), seed),
        sessions.person[session],
    )
    # The value of a cart that is left: its added products, one of each.
    cart_value = np.zeros(len(counts), dtype=np.int64)
    added = np.flatnonzero(kind == ADD)
    market = people.market[sessions.person]
    np.add.at(cart_value, session[added], shop.prices[market[session[added]], product[added]])
    bought = sessions.order >= 0
    cart_value[bought] = shop.total[sessions.order[bought]]

    periods = history.by_month_then_day()
    plan = plan_delivery(rng, time, periods, settings.rows)
    browsers = _browsers(output, browser_kinds, seed)
    products = _products(output, shop)
    forms = people.phone_forms(rng, sessions.person)
    edges = np.searchsorted(plan.period, np.arange(len(periods.names) + 1))
    odd = odd_periods(periods)
    for index, name in enumerate(periods.names):
        low, high = int(edges[index]), int(edges[index + 1])
        if low == high:
            continue
        rows = plan.row[low:high]
        lines = _lines(
            output, people, shop, sessions, browsers, products, seed,
            plan=Plan(rows, plan.period[low:high], plan.delivered[low:high],
                      plan.broken[low:high]),
            session=session[rows], kind=kind[rows], time=time[rows], product=product[rows],
            first=place[rows] == 0, logged_in=logged_in[rows], forms=forms,
            cart_value=cart_value,
        )  # fmt: skip
        middle = "resent_" if index == odd[0] else ""
        path = output.write(
            "web", "events", f"events_{middle}{name}.jsonl",
            lambda file, lines=lines: write_lines(lines, file),  # type: ignore[misc]
        )  # fmt: skip
        if index == odd[1]:
            output.write_copy(path, f"events_copy_{name}.jsonl")
            output.count("web", "events", high - low)
    output.count("web", "events", len(plan))

    _write_checkouts(rng, people, shop, sessions, cart_value, settings, history, output, seed)
    pairs = sessions.browser * len(people) + sessions.person
    _, where = np.unique(pairs, return_index=True)
    browser = sessions.browser[where]
    number = np.arange(len(counts))
    clicked = np.flatnonzero(np.isin(number % 12, (GOOGLE_CLICK, FACEBOOK_CLICK)))
    return Web(
        browser_person=sessions.person[where],
        browser_of=browser,
        apps=browser_kinds[browser] == APP,
        sessions=len(counts),
        click_session=clicked,
        click_person=sessions.person[clicked],
        click_time=time[first[clicked]],
    )


def _message_ids(output: Output, numbers: Ints, seed: int) -> pa.ChunkedArray:
    base = pa.table({"n": numbers})
    return output.render(f"select {_message_text('n', seed)} as id from base", base=base)["id"]


def _message_text(column: str, seed: int) -> str:
    return f"'ajs-' || md5('{seed}m' || {column})"


def iso_times(times: Ints) -> pa.Array:
    """Times with their milliseconds, as ISO 8601 writes them in UTC."""
    text = pa.array(times).cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(text, 10, 11, "T"), "Z", "")


def columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The columns of a table by name, to put them into another one."""
    return {name: table[name] for name in table.column_names}


def _browsers(output: Output, kinds: Ints, seed: int) -> pa.Table:
    """The text that is the same in all events of a browser, made once."""
    base = pa.table({"browser": np.arange(len(kinds)), "kind": kinds})
    return output.render(
        f"""
        select {browser_text("browser", seed)} as anonymous_id,
            case kind when {APP} then 'mobile' else 'browser' end as channel,
            case kind
                when {APP} then '"device":{{"id":"' || {browser_text("browser", seed, "d")}
                    || '","advertisingId":"' || {browser_text("browser", seed, "m")}
                    || '","type":"' || case when browser % 2 = 0 then 'ios' else 'android' end
                    || '"}},"userAgent":"SampleShop/4.2"'
                when {MOBILE} then '"userAgent":"Mozilla/5.0 (Linux; Android 15) Mobile"'
                else '"userAgent":"Mozilla/5.0 (X11; Linux x86_64)"'
            end as device,
            -- The ranges that are kept for documentation.
            case when browser % 3 = 0 then '198.51.100.' else '203.0.113.' end
                || (browser % 254 + 1) as ip
        from base
        """,
        base=base,
    )


def _products(output: Output, shop: Shop) -> pa.Table:
    """The text of each market's products, market by market."""
    markets, count = shop.prices.shape
    base = pa.table(
        {"id": np.tile(product_ids(np.arange(count)), markets), "price": shop.prices.reshape(-1)}
    )
    return output.render(
        f"select cast(id as varchar) as product_id, {money_text('price')} as price from base",
        base=base,
    )


def _traits(
    output: Output, people: People, sessions: Sessions, session: NDArray[Any], forms: Ints
) -> pa.ChunkedArray:
    """What these identify calls say of the person, as JSON text."""
    person = sessions.person[session]
    base = pa.table(
        {
            "market": people.market[person],
            "identify": sessions.identify[session],
            "signup": sessions.signup[session],
            "form": forms[session],
            **people.take(
                person,
                "email_typed email_b office_mailbox junk_email junk_phone given_typed "
                "family_typed gender birthday street city postal_code country customer_no cc "
                "nat",
            ),
        }
    )
    sql = f"""
        with typed as (
            select *,
                case when identify = {NEWSLETTER}
                    then coalesce(office_mailbox, junk_email, email_b) else email_typed
                end as email,
                case when identify <> {NEWSLETTER} or office_mailbox is null
                    then coalesce(junk_phone, typed_phone(cc, nat, market, form))
                end as phone
            from base
        )
        select '{{"email":"' || email || '"' || coalesce(',"phone":"' || phone || '"', '')
            || case when identify = {LOGIN}
                then ',"firstName":"' || given_typed || '","lastName":"' || family_typed || '"'
                    || coalesce(',"customer_no":"' || customer_no || '"', '')
                else '' end
            || case when identify = {LOGIN} and signup
                then ',"gender":"' || gender || '","birthday":"' || birthday
                    || '","address":{{"street":"' || street || '","city":"' || city
                    || '","postalCode":"' || postal_code || '","country":"' || country || '"}}'
                else ',"address":{{"country":"' || country || '"}}' end
            || '}}' as traits
        from typed
    """
    return output.render(sql, base=base)["traits"]


def _lines(
    output: Output,
    people: People,
    shop: Shop,
    sessions: Sessions,
    browsers: pa.Table,
    products: pa.Table,
    seed: int,
    plan: Plan,
    session: NDArray[Any],
    kind: NDArray[Any],
    time: Ints,
    product: NDArray[Any],
    first: Flags,
    logged_in: Flags,
    forms: Ints,
    cart_value: Ints,
) -> pa.Table:
    """One file's events as lines of JSON; what an event does not have is left out."""
    size = len(session)
    person = sessions.person[session]
    tells = np.flatnonzero(kind == IDENTIFY)
    where = np.zeros(size, dtype=np.int64)
    where[tells] = np.arange(len(tells))
    traits = _traits(output, people, sessions, session[tells], forms)
    order = sessions.order[session]
    base = pa.table(
        {
            "n": plan.row,
            "session": session,
            "kind": kind,
            "happened": iso_times(time),
            "sent": iso_times(plan.delivered - 400),
            "received": iso_times(plan.delivered),
            "bad": plan.broken,
            "first": first,
            "user_id": maybe(customer_ids(person), logged_in),
            **columns(browsers.take(pa.array(sessions.browser[session]))),
            **columns(
                products.take(pa.array(people.market[person] * shop.prices.shape[1] + product))
            ),
            "cart": cart_value[session],
            "order_id": maybe(shop.order_ids(order), order >= 0),
            "traits": traits.take(maybe(where, kind == IDENTIFY)),
            **people.take(person, "currency locale"),
        }
    )
    sql = f"""
        select concat(
            '{{"messageId":"', case when bad then 'bad-' end, {_message_text("n", seed)},
            case kind
                when {PAGE} then case session % 3
                    when 0 then '","type":"page","name":"Home'
                    when 1 then '","type":"page","name":"Sale'
                    else '","type":"page","name":"Catalogue' end
                when {IDENTIFY} then '","type":"identify'
                when {VIEW} then '","type":"track","event":"Product Viewed'
                when {ADD} then '","type":"track","event":"Product Added'
                when {CHECKOUT} then '","type":"track","event":"Checkout Started'
                else '","type":"track","event":"Order Completed'
            end,
            '","userId":"' || user_id, '","anonymousId":"', anonymous_id, '","timestamp":"',
            case when bad then 'half past ten' else happened end,
            '","sentAt":"', sent, '","receivedAt":"', received, '","channel":"', channel,
            '","version":"2","context":{{',
            case when kind = {PAGE} then concat(
                case session % 12
                    when {GOOGLE_CLICK}
                        then '"campaign":{{"name":"spring","source":"google","medium":"cpc"}},'
                    when {FACEBOOK_CLICK}
                        then '"campaign":{{"name":"gifts","source":"facebook","medium":"cpc"}},'
                    when 8 then '"campaign":{{"name":"news","source":"news","medium":"email"}},'
                end,
                '"page":{{"path":"/","url":"https://shop.example/',
                case when first and session % 12 in ({GOOGLE_CLICK}, {FACEBOOK_CLICK}) then
                    case session % 12 when {GOOGLE_CLICK} then '?gclid=' else '?fbclid=' end
                    || {click_text("session", seed)} end,
                '"',
                case when session % 4 = 1 then ',"referrer":"https://search.example/"' end,
                '}},'
            ) when kind = {VIEW} then concat(
                '"page":{{"path":"/products/', product_id,
                '","url":"https://shop.example/products/', product_id, '"}},'
            ) end,
            device, ',"ip":"', case when session % {OFFICE_VISITS} = 7
                then '10.20.0.' || (session % 250 + 1) else ip end,
            '","locale":"', locale, '"}}', ',"traits":' || traits,
            case when kind in ({VIEW}, {ADD}) then concat(
                ',"properties":{{"product_id":"', product_id, '","price":', price,
                ',"currency":"', currency,
                case when kind = {ADD} then concat('","cart_id":"', {cart_text("session", seed)})
                end,
                '"}}'
            ) when kind in ({CHECKOUT}, {DONE}) then concat(
                ',"properties":{{"cart_id":"', {cart_text("session", seed)},
                case when kind = {DONE} then '","order_id":"' || order_id end,
                '","value":', {money_text("cart")}, ',"currency":"', currency, '"}}'
            ) end,
            '}}', chr(10)
        ) as line
        from base
    """
    return output.render(sql, base=base)


def _write_checkouts(
    rng: np.random.Generator,
    people: People,
    shop: Shop,
    sessions: Sessions,
    cart_value: Ints,
    settings: Settings,
    history: History,
    output: Output,
    seed: int,
) -> None:
    """The checkouts that were left, and a few that became orders later."""
    finished = (sessions.order >= 0) & (rng.random(len(sessions.person)) < 0.06)
    which = np.flatnonzero((sessions.checkout > 0) & ((sessions.order < 0) | finished))
    person = sessions.person[which]
    done = sessions.order[which] >= 0
    # The checkout is the last event of a visit, or the one before the order.
    begun = sessions.start[which] + (sessions.events[which] - 1 - done) * STEP
    begun = np.minimum(begun, history.end - 2 * MINUTE)
    guest = np.zeros(len(which), dtype=bool)
    guest[done] = shop.guest[sessions.order[which][done]]
    email_kind = np.where(
        people.kind[person] == GUEST,
        np.where(people.office[person] >= 0, 2, np.where(people.junk[person] == 1, 3, 0)),
        0,
    )
    email_kind[done] = shop.email_kind[sessions.order[which][done]]
    knows = (sessions.identify[which] == LOGIN) | sessions.remembered[which]
    ended = np.maximum(begun, shop.time[np.maximum(sessions.order[which], 0)]) if len(
        shop.time
    ) else begun  # fmt: skip
    row = np.concatenate([np.arange(len(which)), np.flatnonzero(done)])
    version = np.repeat([0, 1], [len(which), int(done.sum())])
    times = np.concatenate([begun, ended[done]])
    periods = history.by_quarter()
    plan = plan_delivery(rng, times, periods, settings.rows)
    picked = row[plan.row]
    base = pa.table(
        {
            "n": picked,
            "session": which[picked],
            "customer": maybe(customer_ids(person[picked]), (knows & ~guest)[picked]),
            "email_kind": email_kind[picked],
            **people.take(
                person[picked],
                "email_typed email_b office_mailbox junk_email currency",
            ),
            "value": cart_value[which[picked]],
            "begun": begun[picked],
            "updated": times[plan.row],
            "version": version[plan.row],
            "synced": plan.delivered,
        }
    )
    words = output.render(
        f"""
        select cast({CHECKOUT_ID} + n * 43 as varchar) as id, customer::varchar as customer_id,
            case email_kind when 0 then email_typed when 1 then email_b
                when 2 then office_mailbox else junk_email end as email,
            {cart_text("session", seed)} as cart_token, currency,
            {money_text("value")} as total_price, {time_text("begun")} as created_at,
            {time_text("updated")} as updated_at,
            case when version = 1 then {time_text("updated")} end as completed_at,
            'false' as _fivetran_deleted, {time_text("synced")} as _fivetran_synced
        from base
        """,
        base=base,
    )
    output.write_csv_files(
        "shopify", "abandoned_checkout", words, plan, periods, "id",
        [("total_price", "much"), ("created_at", "soon")],
    )  # fmt: skip
    ids = pc.cast(pa.array(CHECKOUT_ID + np.arange(len(which)) * 43), pa.string())
    output.record("shopify", "abandoned_checkout", ids, person)
