"""The LINE Official Account: followers and webhook events, under two providers."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.demo.channels import Channels, between, pick, some
from orchestration.demo.delivery import DAY, HOUR, MINUTE, Flags, Ints, Plan, write_lines
from orchestration.demo.people import TW
from orchestration.demo.shop import time_text

PROVIDERS = ("prov-1", "prov-2")
FOLLOW, LINKED, MESSAGE, POSTBACK, UNFOLLOW = range(5)
TYPES = ("follow", "accountLink", "message", "postback", "unfollow")
WORDS = ("Is my order on the way?", "Do you have it in blue?", "Thank you", "Opening hours?")
VN = 0


@dataclass
class Followers:
    """Columns over followers of both providers; `text` is whose number the userId is made of."""

    person: Ints
    provider: Ints
    text: Ints
    linked: Flags
    since: Ints
    left: Ints


def user_text(seed: int, text: str = "who", salt: str = "salt") -> str:
    """SQL for a userId: U and 32 hexadecimal digits, different with each provider."""
    return f"'U' || md5('{seed}line' || {salt} || {text})"


def make_line(rng: np.random.Generator, channels: Channels) -> None:
    """Followers with their events; the truth's names of them are told by provider."""
    followers = _make_followers(rng, channels)
    _write_followers(rng, channels, followers)
    channels.tell(
        "line_user_id",
        f"lower(provider) || ':' || {user_text(channels.seed)}",
        followers.person,
        **_names(followers),
    )
    _write_events(rng, channels, followers)


def _names(followers: Followers) -> dict[str, pa.Array | Ints]:
    """What a userId is made of. The first one of the second provider is another person's of the
    first provider, letter by letter: read without its provider it would join two people."""
    salt = followers.provider.copy()
    borrowed = np.flatnonzero(followers.text != followers.person)
    salt[borrowed] = 0
    return {
        "provider": pick(PROVIDERS, followers.provider),
        "who": followers.text,
        "salt": pick(("a", "b"), salt),
    }


def _make_followers(rng: np.random.Generator, channels: Channels) -> Followers:
    people, last, rates = channels.people, channels.last, channels.rates
    market = people.market
    share = np.where(market == TW, rates["line_tw"], np.where(market == VN, rates["line_vn"], 0.0))
    follows = people.known & (rng.random(len(people)) < share)
    person = np.flatnonzero(follows | channels.everywhere)
    size = len(person)
    always = channels.everywhere[person]
    linked = people.account[person] & ((rng.random(size) < 0.5) | always)
    begin = np.minimum(channels.contact[person] + HOUR, last - 2 * HOUR)
    since = between(rng, begin, np.minimum(begin + 200 * DAY, last - HOUR))
    since[always] = begin[always]
    leaves = (rng.random(size) < 0.08) & ~always
    left = np.where(leaves, between(rng, since + HOUR, last - MINUTE), last)

    # Of the second provider's followers the first has the userId of somebody else; both of them
    # are sure by their account.
    sure = np.flatnonzero(linked & ~always)
    if len(sure) < 2:
        sure = np.flatnonzero(linked)
    others = np.setdiff1d(np.arange(size), sure[:2])
    second = np.concatenate(
        [sure[:1], others[some(rng, len(others), rates["line_second_provider"], 1)]]
    )
    text = person[second].copy()
    text[:1] = person[sure[1]]
    return Followers(
        person=np.concatenate([person, person[second]]),
        provider=np.repeat([0, 1], [size, len(second)]),
        text=np.concatenate([person, text]),
        linked=np.concatenate([linked, people.account[person[second]]]),
        since=np.concatenate([since, np.minimum(since[second] + HOUR, last)]),
        left=np.concatenate([left, np.full(len(second), last)]),
    )


def _write_followers(rng: np.random.Generator, channels: Channels, followers: Followers) -> None:
    size, last = len(followers.person), channels.last
    mail = channels.own_email[followers.person] & (rng.random(size) < 0.3)
    gone = np.flatnonzero(followers.left < last)
    row = np.concatenate([np.arange(size), gone])
    second = np.arange(len(row)) >= size
    named = _names(followers)
    channels.write(
        rng,
        "line.followers",
        f"""
        provider as provider_id, {user_text(channels.seed)} as user_id, given as display_name,
        left(locale, 2) as language, cast(account as varchar) as shopify_customer_id,
        case when mail then email_typed end as email, cast(follows as varchar) as is_following,
        {time_text("moment")} as updated_at
        """,
        np.where(second, followers.left[row], np.minimum(followers.since + 6 * MINUTE, last)[row]),
        {
            "provider": named["provider"].take(pa.array(row)),
            "who": followers.text[row],
            "salt": named["salt"].take(pa.array(row)),
            "account": channels.accounts(followers.person[row], followers.linked[row]),
            "mail": mail[row],
            "follows": ~second,
        },
        followers.person[row],
        "given locale email_typed",
        key="user_id",
        broken=[("is_following", "perhaps"), ("updated_at", "noon")],
        record="provider_id user_id",
    )


def _write_events(rng: np.random.Generator, channels: Channels, followers: Followers) -> None:
    """Events as the webhook's receiver writes them; a redelivery says that it is one."""
    size, last = len(followers.person), channels.last
    linked = np.flatnonzero(followers.linked)
    gone = np.flatnonzero(followers.left < last)
    many = 1 + rng.poisson(3.2, size)
    talk = np.repeat(np.arange(size), many)
    ends = followers.left[talk] - MINUTE
    said = between(rng, np.minimum(followers.since[talk] + 10 * MINUTE, ends), ends)
    of = np.concatenate([np.arange(size), linked, talk, gone])
    kind = np.concatenate(
        [
            np.full(size, FOLLOW),
            np.full(len(linked), LINKED),
            np.where(rng.random(len(talk)) < 0.75, MESSAGE, POSTBACK),
            np.full(len(gone), UNFOLLOW),
        ]
    )
    # Somebody who is everywhere has written at least once.
    _, first = np.unique(talk, return_index=True)
    kind[size + len(linked) + first] = MESSAGE
    time = np.concatenate(
        [
            followers.since,
            np.minimum(followers.since[linked] + 5 * MINUTE, last),
            said,
            followers.left[gone],
        ]
    )
    order = np.lexsort((kind, of, time))
    of, kind, time = of[order], kind[order], time[order]
    named = _names(followers)
    base, plan = channels.base(
        rng,
        time,
        {
            "provider": named["provider"].take(pa.array(of)),
            "who": followers.text[of],
            "salt": named["salt"].take(pa.array(of)),
            "kind": kind,
            "type": pick(TYPES, kind),
            "words": pick(WORDS, of % len(WORDS)),
        },
        breaks=True,
    )
    base = base.append_column("again", pa.array(_repeated(plan)))
    base = base.append_column("bad", pa.array(plan.broken))
    digest = f"md5('{channels.seed}event' || n)"
    words = channels.output.render(
        f"""
        select "webhookEventId", concat(
            '{{"webhookEventId":"', "webhookEventId", '","provider_id":"', provider,
            '","type":"', type, '","mode":"active","timestamp":',
            case when bad then '"noon"' else cast(moment as varchar) end,
            ',"source":{{"type":"user","userId":"', {user_text(channels.seed)}, '"}}',
            case kind
                when {MESSAGE} then ',"message":{{"id":"' || (460000000 + n)
                    || '","type":"text","text":"' || words || '"}}'
                when {POSTBACK} then ',"postback":{{"data":"action=show&item=' || (n % 50) || '"}}'
                when {LINKED} then
                    ',"link":{{"result":"ok","nonce":"' || left({digest}, 12) || '"}}'
            end,
            ',"deliveryContext":{{"isRedelivery":', cast(again as varchar),
            '}},"destination":"U', md5(provider), '"}}', chr(10)
        ) as line
        from (
            select *, case when bad then 'bad-' else '' end || '01' || upper(left({digest}, 24))
                as "webhookEventId"
            from base
        )
        """,
        base=base,
    )
    channels.record("line", "events", words, plan, followers.person[of], "webhookEventId")
    periods, output = channels.periods, channels.output
    edges = np.searchsorted(plan.period, np.arange(len(periods.names) + 1))
    for index, name in enumerate(periods.names):
        low, high = int(edges[index]), int(edges[index + 1])
        if low < high:
            lines = pa.table({"line": pc.take(words["line"], pa.array(np.arange(low, high)))})
            output.write(
                "line", "events", f"events_{name}.jsonl",
                lambda file, lines=lines: write_lines(lines, file),  # type: ignore[misc]
            )  # fmt: skip
    output.count("line", "events", len(plan))


def _repeated(plan: Plan) -> Flags:
    """The rows that were delivered before."""
    repeated = np.ones(len(plan), dtype=bool)
    _, first = np.unique(plan.row, return_index=True)
    repeated[first] = False
    return repeated & ~plan.broken
