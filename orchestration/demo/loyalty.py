"""What happens on a loyalty card: points that come and go, and coupons."""

from typing import Any

import numpy as np

from orchestration.demo import names
from orchestration.demo.channels import Channels, between, pick, some
from orchestration.demo.delivery import DAY, HOUR, MINUTE, Ints, maybe
from orchestration.demo.shop import ORDER_ID, PER_POUND, money_text, time_text
from orchestration.demo.stores import WELCOME_POINTS, Members, Receipts, card_text, receipt_text

POINTS_PER_POUND = 5
EARNED, REDEEMED, EXPIRED, ADJUSTED = range(4)
ENTRY_TYPES = ("earned", "redeemed", "expired", "adjusted")
NOTHING, RECEIPT, ORDER = range(3)
COUPON_CAMPAIGNS = ("welcome", "birthday", "spring", "gifts")
COUPON_POUNDS = (2, 5, 10)
COUPON_DAYS = 60


def reference_text() -> str:
    """SQL for the receipt or order that a row refers to."""
    return f"""
        case kind when {RECEIPT} then {receipt_text("reference")}
            when {ORDER} then cast({ORDER_ID} + reference * 131 as varchar) end
    """


def _purchases(channels: Channels, members: Members, receipts: Receipts) -> dict[str, Ints]:
    """What members bought on their card or logged in after they joined, sales alone."""
    shop = channels.shop
    sale = np.flatnonzero((receipts.member >= 0) & (receipts.returned < 0))
    owner = members.place[shop.person]
    order = np.flatnonzero((owner >= 0) & ~shop.guest)
    order = order[shop.time[order] > members.joined[owner[order]] + 10 * MINUTE]
    order = order[shop.time[order] < channels.last]
    market = np.concatenate([receipts.market[sale], shop.currency_market[order]])
    total = np.concatenate([receipts.total[sale], shop.total[order]])
    pound = np.array([round(rate) * 100 for rate in PER_POUND])[market]
    return {
        "member": np.concatenate([receipts.member[sale], owner[order]]),
        "kind": np.repeat([RECEIPT, ORDER], [len(sale), len(order)]),
        "reference": np.concatenate([sale, order]),
        "time": np.concatenate([receipts.time[sale], shop.time[order]]),
        "points": total * POINTS_PER_POUND // pound,
    }


def make_ledger(
    rng: np.random.Generator, channels: Channels, members: Members, receipts: Receipts
) -> None:
    """Movements that never lead below zero: only the welcome's points are ever redeemed."""
    bought = _purchases(channels, members, receipts)
    back = np.flatnonzero((receipts.member >= 0) & (receipts.returned >= 0))
    pound = np.array([round(rate) * 100 for rate in PER_POUND])[receipts.market]
    taken = receipts.total * POINTS_PER_POUND // pound
    spent = np.flatnonzero(receipts.points > 0)
    came_back = np.isin(bought["reference"], receipts.returned[back])
    came_back &= bought["kind"] == RECEIPT
    ends = bought["time"] + 365 * DAY
    old = np.flatnonzero((ends < channels.last) & ~came_back & (bought["points"] > 0))
    old = old[some(rng, len(old), 0.6, 1)]
    nobody = np.zeros(len(members), dtype=np.int64)
    parts: list[tuple[Any, ...]] = [
        (np.arange(len(members)), ADJUSTED, NOTHING, nobody, members.joined,
         WELCOME_POINTS + nobody),
        (bought["member"], EARNED, bought["kind"], bought["reference"], bought["time"] + MINUTE,
         bought["points"]),
        (receipts.member[spent], REDEEMED, RECEIPT, spent, receipts.time[spent],
         -receipts.points[spent]),
        (bought["member"][old], EXPIRED, bought["kind"][old], bought["reference"][old], ends[old],
         -bought["points"][old]),
        (receipts.member[back], ADJUSTED, RECEIPT, back, receipts.time[back] + MINUTE,
         -taken[back]),
    ]  # fmt: skip

    def column(place: int) -> Ints:
        return np.concatenate([np.broadcast_to(part[place], len(part[0])) for part in parts])

    member, time = column(0), column(4)
    order = np.lexsort((column(1), member, time))
    person = members.person[member[order]]
    channels.write(
        rng,
        "loyalty.points_ledger",
        f"""
        'LE-' || lpad(cast(n as varchar), 8, '0') as ledger_entry_id,
        {card_text("person")} as loyalty_no, entry as entry_type,
        cast(points as varchar) as points, {reference_text()} as reference,
        {time_text("moment")} as occurred_at
        """,
        time[order],
        {
            "person": person,
            "entry": pick(ENTRY_TYPES, column(1)[order]),
            "points": column(5)[order],
            "kind": column(2)[order],
            "reference": column(3)[order],
        },
        person,
        key="ledger_entry_id",
        broken=[("points", "many"), ("entry_type", "lost"), ("occurred_at", "then")],
        record="ledger_entry_id",
    )


def make_coupons(
    rng: np.random.Generator, channels: Channels, members: Members, receipts: Receipts
) -> None:
    """Coupons, some of them used on a purchase of their member, the others run out."""
    bought = _purchases(channels, members, receipts)
    total = max(round(len(channels.people) * channels.rates["coupons"]), 6)
    # Whoever is everywhere uses one on the first receipt.
    everywhere = channels.everywhere[members.person[bought["member"]]]
    places = np.flatnonzero(everywhere & (bought["kind"] == RECEIPT))
    _, first = np.unique(bought["member"][places], return_index=True)
    others = np.flatnonzero(~everywhere)
    others = others[some(rng, len(others), min(0.25 * total / max(len(others), 1), 1.0), 1)]
    used = np.concatenate([places[first], others])
    loose = rng.integers(0, len(members), max(total - len(used), 1))
    member = np.concatenate([bought["member"][used], loose])
    is_used = np.arange(len(member)) < len(used)
    redeemed = np.concatenate([bought["time"][used], np.zeros(len(loose), dtype=np.int64)])
    joined = members.joined[member]
    low = np.where(is_used, np.maximum(joined, redeemed - (COUPON_DAYS - 2) * DAY), joined)
    high = np.where(is_used, redeemed - MINUTE, channels.last)
    issued = between(rng, low, high)
    order = np.argsort(issued, kind="stable")
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    kind = np.concatenate([bought["kind"][used], np.zeros(len(loose), dtype=np.int64)])
    reference = np.concatenate([bought["reference"][used], np.zeros(len(loose), dtype=np.int64)])
    person = members.person[member]
    market = channels.people.market[person]
    pounds = rng.choice(COUPON_POUNDS, len(member))
    value = np.array([round(rate) * 100 for rate in PER_POUND])[market] * pounds

    row = np.concatenate([np.arange(len(member)), np.flatnonzero(is_used)])
    second = np.arange(len(row)) >= len(member)
    channels.write(
        rng,
        "loyalty.coupons",
        f"""
        'CP-' || lpad(cast(number as varchar), 7, '0') as coupon_id,
        {card_text("person")} as loyalty_no, campaign, {money_text("value")} as value_amount,
        currency, {time_text("issued")} as issued_at, {time_text("ends")} as expires_at,
        {time_text("redeemed")} as redeemed_at, {reference_text()} as redeemed_reference,
        {time_text("moment")} as updated_at
        """,
        np.where(second, redeemed[row], issued[row]),
        {
            "number": number[row],
            "person": person[row],
            "campaign": pick(COUPON_CAMPAIGNS, number[row] % len(COUPON_CAMPAIGNS)),
            "value": value[row],
            "currency": pick(names.CURRENCIES, market[row]),
            "issued": issued[row],
            "ends": issued[row] + COUPON_DAYS * DAY + HOUR,
            "redeemed": maybe(redeemed[row], second),
            "kind": np.where(second, kind[row], NOTHING),
            "reference": reference[row],
        },
        person[row],
        key="coupon_id",
        broken=[("value_amount", "lots"), ("currency", "ZZZ"), ("issued_at", "then")],
        record="coupon_id",
    )
