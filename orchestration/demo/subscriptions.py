"""Subscriptions: agreed once, paid for month by month until they are cancelled."""

import numpy as np

from orchestration.demo import names
from orchestration.demo.catalogue import sku_text
from orchestration.demo.channels import Channels, between, pick, some
from orchestration.demo.delivery import DAY, HOUR, MINUTE
from orchestration.demo.shop import TAX_PER_THOUSAND, money_text, time_text

PLANS = ("coffee", "tea", "candles", "stationery", "toys")
STATUSES = ("active", "paused", "cancelled", "expired")
PAYMENTS = ("card", "paypal", "bank_transfer")
MONTH = 30 * DAY
# Numbers from here on belong to subscriptions that never land.
LOST = 900_000


def subscription_text(column: str) -> str:
    return f"'SUB-' || lpad(cast({column} as varchar), 6, '0')"


def make_subscriptions(rng: np.random.Generator, channels: Channels) -> None:
    """Subscriptions with their renewals and cancellations."""
    people, shop, last = channels.people, channels.shop, channels.last
    able = people.account & (shop.opened < channels.history.end - 45 * DAY)
    person = channels.choose(rng, able, channels.rates["subscribers"])
    size = len(person)
    always = channels.everywhere[person]
    begin = channels.contact[person] + DAY
    started = between(rng, begin, last - 40 * DAY)
    started[always] = np.minimum(begin, last - 130 * DAY)[always]
    started = np.minimum(np.maximum(started, channels.contact[person]), last - HOUR)
    market = people.market[person]
    plan = rng.integers(0, len(PLANS), size)
    product = plan * 37 % shop.prices.shape[1]
    per_thousand = np.array(TAX_PER_THOUSAND)[market]
    price = shop.prices[market, product] * (1000 + per_thousand) // 1000
    months = np.where((rng.random(size) < 0.1) & ~always, 3, 1)

    ends = started + between(rng, np.full(size, 35 * DAY), 500 * DAY)
    cancelled = (rng.random(size) < 0.4) & (ends < last) & ~always
    first = np.flatnonzero(~always & (started + 36 * DAY < last))[:1]
    cancelled[first] = True
    ends[first] = np.minimum(ends[first], last - HOUR)
    # Some run out by themselves: nobody cancelled them.
    expired = cancelled & (np.arange(size) % 6 == 5)
    expired[first] = False
    paused = ~cancelled & ~always & (rng.random(size) < 0.08) & (started + 20 * DAY < last)
    changed = np.where(cancelled, ends, started + 20 * DAY)
    second = np.flatnonzero(cancelled | paused)
    row = np.concatenate([np.arange(size), second])
    state = np.zeros(len(row), dtype=np.int64)
    state[size:] = np.where(paused[second], 1, np.where(expired[second], 3, 2))
    tells = (rng.random(size) < 0.7) | always
    channels.write(
        rng,
        "subscriptions.subscriptions",
        f"""
        {subscription_text("number")} as subscription_id,
        cast(account as varchar) as shopify_customer_id, email_typed as email, plan,
        {sku_text("product")} as sku, {money_text("price")} as price, currency,
        cast(months as varchar) as interval_months, status, {time_text("started")} as started_at,
        {time_text("moment")} as updated_at
        """,
        np.concatenate([started, changed[second]]),
        {
            "number": row,
            "account": channels.accounts(person[row], tells[row]),
            "plan": pick(PLANS, plan[row]),
            "product": product[row],
            "price": price[row],
            "months": months[row],
            "status": pick(STATUSES, state),
            "started": started[row],
        },
        person[row],
        "email_typed currency",
        key="subscription_id",
        broken=[("price", "dear"), ("status", "asleep")],
        record="subscription_id",
    )
    leaves = np.flatnonzero(cancelled & ~expired)
    channels.write(
        rng,
        "subscriptions.cancellations",
        f"""
        'CAN-' || lpad(cast(n as varchar), 6, '0') as cancellation_id,
        {subscription_text("number")} as subscription_id, reason,
        {time_text("moment")} as cancelled_at
        """,
        ends[leaves],
        {
            "number": leaves,
            "reason": pick(("too dear", "too much at home", "moved", None), leaves % 4),
        },
        key="cancellation_id",
        broken=[("cancelled_at", "soon")],
    )

    # The first payment comes with the start, then one each period until the end.
    until = np.where(cancelled, ends, np.where(paused, changed, last))
    periods = 1 + (until - started - MINUTE) // (months * MONTH)
    of = np.repeat(np.arange(size), periods)
    turn = np.arange(len(of)) - np.repeat(np.cumsum(periods) - periods, periods)
    renewed = started[of] + MINUTE + turn * months[of] * MONTH
    number = of.copy()
    lost = rng.choice(
        len(of), max(round(len(of) * channels.rates["lost_subscriptions"]), 1), replace=False
    )
    of = np.concatenate([of, of[lost]])
    number = np.concatenate([number, LOST + np.arange(len(lost))])
    renewed = np.concatenate([renewed, renewed[lost]])
    order = np.lexsort((number, renewed))
    of, number, renewed = of[order], number[order], renewed[order]
    total = len(of)
    fate = rng.choice(3, total, p=[0.93, 0.05, 0.02])
    fate[some(rng, total, 0.0, 1)] = 1
    given_back = renewed + rng.integers(DAY, 20 * DAY, total)
    fate[(fate == 2) & (given_back >= last)] = 0
    refunded = np.flatnonzero(fate == 2)
    row = np.concatenate([np.arange(total), refunded])
    later = np.arange(len(row)) >= total
    amount = price[of]
    status = np.where(later, 2, np.where(fate[row] == 1, 1, 0))
    channels.write(
        rng,
        "subscriptions.renewals",
        f"""
        'REN-' || lpad(cast(number as varchar), 8, '0') as renewal_id,
        {subscription_text("subscription")} as subscription_id, {money_text("amount")} as amount,
        {money_text("tax")} as tax_amount, currency, method as payment_method, status,
        {time_text("renewed")} as renewed_at, {time_text("moment")} as updated_at
        """,
        np.where(later, given_back[row], renewed[row]),
        {
            "number": row,
            "subscription": number[row],
            "amount": amount[row],
            "tax": (amount * per_thousand[of] // (1000 + per_thousand[of]))[row],
            "currency": pick(names.CURRENCIES, market[of][row]),
            "method": pick(PAYMENTS, person[of][row] % len(PAYMENTS)),
            "status": pick(("paid", "failed", "refunded"), status),
            "renewed": renewed[row],
        },
        key="renewal_id",
        broken=[("amount", "dear"), ("currency", "ZZZ"), ("status", "perhaps")],
    )
