"""The mail tool: profiles, campaigns and flows, and what became of each message."""

import numpy as np

from orchestration.demo.channels import Channels, between, pick, some
from orchestration.demo.crm import COUNTRIES
from orchestration.demo.delivery import DAY, HOUR, MINUTE, Ints, maybe
from orchestration.demo.shop import time_text

FORTNIGHT = 14 * DAY
SUBJECTS = ("News for your home", "Gifts for everybody", "Last days of the sale", "New this season")
FLOWS = ("Welcome", "Left in the cart", "We miss you")
RECEIVED, OPENED, CLICKED, BOUNCED, UNSUBSCRIBED, SPAM = range(6)
METRICS = (
    "Received Email", "Opened Email", "Clicked Email", "Bounced Email", "Unsubscribed",
    "Marked Email as Spam",
)  # fmt: skip
KEPT = f"'false' as _fivetran_deleted, {time_text('synced')} as _fivetran_synced"


def campaign_text(column: str) -> str:
    return f"'camp-' || lpad(cast({column} as varchar), 4, '0')"


def profile_text(column: str, seed: int) -> str:
    """SQL for a profile's id: random letters and digits."""
    return f"'01' || upper(left(md5('{seed}mail' || {column}), 24))"


def make_mailing(rng: np.random.Generator, channels: Channels) -> None:
    """All tables of the mail tool."""
    person = channels.choose(rng, channels.own_email, channels.rates["mail_profiles"])
    begin = np.minimum(channels.contact[person] + HOUR, channels.last - 2 * HOUR)
    late = between(rng, begin, np.minimum(begin + 60 * DAY, channels.last - HOUR))
    created = np.where(channels.everywhere[person] | (rng.random(len(person)) < 0.6), begin, late)
    _write_profiles(rng, channels, person, created)
    sent = channels.history.start + 9 * HOUR + np.arange(
        (channels.history.end - channels.history.start - DAY) // FORTNIGHT
    ) * FORTNIGHT  # fmt: skip
    _write_senders(rng, channels, sent)
    _write_events(rng, channels, person, created, sent)


def _write_profiles(
    rng: np.random.Generator, channels: Channels, person: Ints, created: Ints
) -> None:
    people = channels.people
    size = len(person)
    updated = created + between(rng, np.full(size, DAY), 300 * DAY)
    again = np.flatnonzero((rng.random(size) < 0.2) & (updated < channels.last))
    row = np.concatenate([np.arange(size), again])
    channels.write(
        rng,
        "klaviyo.person",
        f"""
        {profile_text("person", channels.seed)} as id, email_typed as email,
        case when shows then phone end as phone_number, given as first_name, family as last_name,
        city, region, land as country, {time_text("created")} as created,
        {time_text("moment")} as updated, {KEPT}
        """,
        np.concatenate([created, updated[again]]),
        {
            "person": person[row],
            "shows": (rng.random(size) < 0.5)[row],
            "land": pick(COUNTRIES, people.market[person[row]]),
            "created": created[row],
        },
        person[row],
        "email_typed phone given family city region",
        key="id",
        broken=[("created", "in spring"), ("updated", "soon")],
        record="id",
    )
    channels.tell("klaviyo_person_id", profile_text("person", channels.seed), person)


def _write_senders(rng: np.random.Generator, channels: Channels, sent: Ints) -> None:
    """Campaigns: a draft the day before, then sent; and the flows."""
    count = len(sent)
    row = np.tile(np.arange(count), 2)
    done = np.arange(2 * count) >= count
    channels.write(
        rng,
        "klaviyo.campaign",
        f"""
        {campaign_text("number")} as id, subject || ' ' || (number + 1) as name, subject,
        case when done then 'sent' else 'draft' end as status,
        case when done then {time_text("sent")} end as sent_at, {time_text("moment")} as updated,
        {KEPT}
        """,
        np.where(done, sent[row] + 10 * MINUTE, sent[row] - HOUR),
        {"number": row, "subject": pick(SUBJECTS, row % 4), "sent": sent[row], "done": done},
    )
    channels.write(
        rng,
        "klaviyo.flow",
        f"""
        'flow-' || (number + 1) as id, name, 'live' as status, {time_text("moment")} as updated,
        {KEPT}
        """,
        np.full(len(FLOWS), channels.history.start + HOUR),
        {"number": np.arange(len(FLOWS)), "name": pick(FLOWS, np.arange(len(FLOWS)))},
    )


def _messages(
    rng: np.random.Generator, channels: Channels, person: Ints, created: Ints, sent: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """Profile, campaign or -1, flow or -1, and time of each message, by profile and time."""
    first = np.searchsorted(sent, created + HOUR)
    left = len(sent) - first
    many = np.minimum(rng.poisson(5.0, len(person)), left)
    profile = np.repeat(np.arange(len(person)), many)
    turn = np.arange(len(profile)) - np.repeat(np.cumsum(many) - many, many)
    # Spread over the campaigns that are left, none of them twice.
    low = turn * left[profile] // many[profile]
    high = (turn + 1) * left[profile] // many[profile]
    campaign = first[profile] + low + (rng.random(len(profile)) * (high - low)).astype(np.int64)
    time = sent[campaign] + rng.integers(MINUTE, 2 * HOUR, len(campaign))
    # The welcome comes to everybody, the other flows to some.
    welcome = np.arange(len(person))
    other = some(rng, len(person), 0.15, 2)
    nudge = between(rng, created[other] + DAY, channels.last - HOUR)
    profile = np.concatenate([profile, welcome, other])
    time = np.concatenate([time, created + 10 * MINUTE, nudge])
    flow = np.full(len(profile), -1)
    flow[len(campaign) : len(campaign) + len(welcome)] = 0
    flow[len(campaign) + len(welcome) :] = rng.integers(1, len(FLOWS), len(other))
    campaign = np.concatenate([campaign, np.full(len(welcome) + len(other), -1)])
    time = np.minimum(time, channels.last)
    order = np.lexsort((flow, time, profile))
    return profile[order], campaign[order], flow[order], time[order]


def _write_events(
    rng: np.random.Generator, channels: Channels, person: Ints, created: Ints, sent: Ints
) -> None:
    profile, campaign, flow, received = _messages(rng, channels, person, created, sent)
    total, last = len(profile), channels.last
    is_first = np.append(True, profile[1:] != profile[:-1])
    is_last = np.append(profile[1:] != profile[:-1], True)
    sure = channels.everywhere[person[profile]]
    bounced = np.zeros(total, dtype=bool)
    bounced[some(rng, total, 0.025, 1)] = True
    bounced &= ~sure
    opened_at = received + MINUTE + (rng.exponential(9, total) * HOUR).astype(np.int64)
    opened_at[sure] = np.minimum(opened_at, received + DAY)[sure]
    opened = ~bounced & (opened_at < last - HOUR)
    opened &= (rng.random(total) < 0.42) | (sure & is_first)
    clicked = opened & ((rng.random(total) < 0.28) | (sure & is_first))
    clicked_at = opened_at + rng.integers(20_000, 30 * MINUTE, total)
    # Nobody hears from us after saying no, so it is an answer to the last message.
    may = np.flatnonzero(is_last & opened & ~sure)
    leaves = may[some(rng, len(may), 0.06, 2)]
    spam = leaves[some(rng, len(leaves), 0.2, 1)]
    parts = [
        (np.flatnonzero(~bounced), RECEIVED, received),
        (np.flatnonzero(opened), OPENED, opened_at),
        (np.flatnonzero(clicked), CLICKED, clicked_at),
        (np.flatnonzero(bounced), BOUNCED, received),
        (np.setdiff1d(leaves, spam), UNSUBSCRIBED, opened_at + 5 * MINUTE),
        (spam, SPAM, opened_at + 3 * MINUTE),
    ]
    message = np.concatenate([which for which, _, _ in parts])
    kind = np.concatenate([np.full(len(which), code) for which, code, _ in parts])
    time = np.concatenate([times[which] for which, _, times in parts])
    order = np.lexsort((message, kind, time))
    message, kind, time = message[order], kind[order], time[order]
    of_campaign, of_flow = campaign[message], flow[message]
    subject = np.where(of_campaign >= 0, of_campaign % 4, len(SUBJECTS) + of_flow)
    channels.write(
        rng,
        "klaviyo.event",
        f"""
        'ke-' || lpad(cast(n as varchar), 9, '0') as id,
        {profile_text("person", channels.seed)} as person_id, type, 'metric-' || kind as metric_id,
        {campaign_text("campaign")} as campaign_id, 'flow-' || (flow + 1) as flow_id,
        {time_text("moment")} as datetime,
        case when kind = {CLICKED} then 'https://shop.example/sale?utm_medium=email' end
            as property_url,
        case when kind = {BOUNCED} then case when n % 3 = 0 then 'Soft' else 'Hard' end end
            as property_bounce_type,
        subject as property_subject, {KEPT}
        """,
        time,
        {
            "person": person[profile[message]],
            "type": pick(METRICS, kind),
            "kind": kind,
            "campaign": maybe(of_campaign, of_campaign >= 0),
            "flow": maybe(of_flow, of_flow >= 0),
            "subject": pick([*SUBJECTS, *FLOWS], subject),
        },
        key="id",
        broken=[("datetime", "noon")],
    )
