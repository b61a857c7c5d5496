"""Where people write to us: the service desk, social networks and surveys."""

import numpy as np
import pyarrow as pa

from orchestration.demo import names
from orchestration.demo.channels import Channels, between, pick, some
from orchestration.demo.delivery import DAY, HOUR, MINUTE, Flags, Ints, maybe
from orchestration.demo.shop import time_text
from orchestration.demo.stores import Members, card_text

USER_ID, TICKET_ID, RATING_ID = 380_000_000_000, 41_000, 62_000_000
AGENTS = 4
TICKETS = ("Where is my parcel", "Broken on arrival", "Change my address", "Invoice please",
           "How do I return this")  # fmt: skip
NETWORKS = ("facebook", "instagram", "zalo")
PAGES = ("FB-SampleShop", "IG-SampleShop", "ZL-SampleShop")
KINDS = ("follow", "comment", "message", "mention", "reaction", "unfollow")
REMARKS = ("How long does delivery take?", "Lovely!", "Is the red one back?", "Thank you")
SYNCED = f"{time_text('synced')} as _fivetran_synced"


def user_text(column: str) -> str:
    return f"cast({USER_ID} + ({column}) * 13 as varchar)"


def make_service(rng: np.random.Generator, channels: Channels) -> None:
    """Users of the service desk, their tickets and their verdicts; agents are users too."""
    last = channels.last
    person = channels.choose(rng, channels.reachable, channels.rates["service_users"])
    size = len(person)
    begin = np.minimum(channels.contact[person] + HOUR, last - 2 * HOUR)
    created = between(rng, begin, last - 2 * HOUR)
    always = channels.everywhere[person]
    created[always] = np.minimum(begin + 20 * DAY, last - 3 * DAY)[always]
    told = (rng.random(size) < 0.5) | always
    mail = channels.own_email[person]
    shows = channels.people.has_phone[person] & (~mail | (rng.random(size) < 0.4))
    # Agents come first and are nobody's customers.
    who = np.concatenate([np.full(AGENTS, -1), person])
    is_agent = who < 0
    none = np.zeros(AGENTS, dtype=bool)
    channels.write(
        rng,
        "zendesk.user",
        f"""
        {user_text("number")} as id,
        case when agent then 'agent' || (number + 1) || '@desk.example'
            when mail then email_typed end as email,
        case when shows then phone end as phone,
        case when agent then 'Agent ' || (number + 1)
            when market in (0, 1) then family_typed || ' ' || given_typed
            else given_typed || ' ' || family_typed end as name,
        case when agent then 'agent' else 'end-user' end as role,
        cast(account as varchar) as external_id, {time_text("moment")} as created_at,
        {time_text("moment")} as updated_at, 'false' as _fivetran_deleted, {SYNCED}
        """,
        np.concatenate([np.full(AGENTS, channels.history.start + HOUR), created]),
        {
            "number": np.arange(len(who)),
            "agent": is_agent,
            "mail": np.concatenate([none, mail]),
            "shows": np.concatenate([none, shows]),
            "account": channels.accounts(who, np.concatenate([none, told])),
        },
        who,
        "email_typed phone given_typed family_typed market",
        key="id",
        broken=[("created_at", "in spring")],
        record="id",
    )
    channels.tell("zendesk_user_id", user_text("number"), who, number=np.arange(len(who)))
    _write_tickets(rng, channels, created, always)


def _write_tickets(
    rng: np.random.Generator, channels: Channels, created: Ints, always: Flags
) -> None:
    last = channels.last
    many = 1 + rng.poisson(0.3, len(created))
    of = np.repeat(np.arange(len(created)), many)
    turn = np.arange(len(of)) - np.repeat(np.cumsum(many) - many, many)
    opened = np.where(turn == 0, created[of] + MINUTE, between(rng, created[of], last - HOUR))
    order = np.lexsort((of, opened))
    of, opened, turn = of[order], opened[order], turn[order]
    size = len(of)
    sure = always[of] & (turn == 0)
    solved = opened + HOUR + (rng.exponential(30, size) * HOUR).astype(np.int64)
    solved[sure] = np.minimum(solved, opened + 20 * HOUR)[sure]
    done = solved < last - 5 * HOUR
    row = np.concatenate([np.arange(size), np.flatnonzero(done)])
    second = np.arange(len(row)) >= size
    status = np.where(second, 2 + row % 2, row % 5 == 0)
    channels.write(
        rng,
        "zendesk.ticket",
        f"""
        cast({TICKET_ID} + number as varchar) as id, {user_text(f"owner + {AGENTS}")}
            as requester_id, subject, status, priority, via as via_channel,
        {time_text("opened")} as created_at, {time_text("moment")} as updated_at,
        'false' as _fivetran_deleted, {SYNCED}
        """,
        np.where(second, solved[row], opened[row]),
        {
            "number": row,
            "owner": of[row],
            "subject": pick(TICKETS, row * 7 % len(TICKETS)),
            "status": pick(("new", "open", "solved", "closed"), status.astype(np.int64)),
            "priority": pick(("low", "normal", "normal", "high", "urgent"), row % 5),
            "via": pick(("email", "web", "chat", "phone"), row % 4),
            "opened": opened[row],
        },
        key="id",
        broken=[("created_at", "noon"), ("updated_at", "soon")],
    )
    rated = np.zeros(size, dtype=bool)
    solved_ones = np.flatnonzero(done)
    rated[solved_ones[some(rng, len(solved_ones), 0.5 * size / max(len(solved_ones), 1), 3)]] = True
    rated |= sure & done
    which = np.flatnonzero(rated)
    offered = solved[which] + HOUR
    given = (rng.random(len(which)) < 0.8) | sure[which]
    row = np.concatenate([np.arange(len(which)), np.flatnonzero(given)])
    second = np.arange(len(row)) >= len(which)
    bad = (rng.random(len(which)) < 0.2) & ~sure[which]
    channels.write(
        rng,
        "zendesk.satisfaction_rating",
        f"""
        cast({RATING_ID} + number * 5 as varchar) as id,
        cast({TICKET_ID} + ticket as varchar) as ticket_id,
        {user_text(f"owner + {AGENTS}")} as requester_id, score,
        case when score = 'bad' then 'Took too long' when score = 'good' and number % 3 = 0
            then 'Very friendly' end as comment,
        {time_text("offered")} as created_at, {time_text("moment")} as updated_at, {SYNCED}
        """,
        np.where(second, offered[row] + 2 * HOUR, offered[row]),
        {
            "number": row,
            "ticket": which[row],
            "owner": of[which][row],
            "score": pick(("offered", "good", "bad"), np.where(second, 1 + bad[row], 0)),
            "offered": offered[row],
        },
        key="id",
        broken=[("created_at", "noon")],
    )


def make_social(rng: np.random.Generator, channels: Channels) -> None:
    """Profiles on the networks, visitors' too; a quarter leaves an address in a form once."""
    people, last = channels.people, channels.last
    everybody = np.ones(len(people), dtype=bool)
    person = channels.choose(rng, everybody, channels.rates["social_profiles"])
    size = len(person)
    network = np.where(
        (people.market[person] == 0) & (rng.random(size) < 0.5), 2, rng.integers(0, 2, size)
    )
    able = np.flatnonzero(channels.own_email[person])
    leaves = np.zeros(size, dtype=bool)
    leaves[able[some(rng, len(able), channels.rates["social_email"], 1)]] = True
    leaves |= channels.everywhere[person]
    start = np.where(people.known[person], channels.contact[person], channels.history.start)
    begin = np.minimum(start + HOUR, last - 2 * HOUR)
    many = 1 + rng.poisson(2.0, size)
    of = np.repeat(np.arange(size), many)
    turn = np.arange(len(of)) - np.repeat(np.cumsum(many) - many, many)
    time = begin[of] + (rng.random(len(of)) * (last - begin[of])).astype(np.int64)
    order = np.lexsort((turn, of, time))
    of, time = of[order], time[order]
    # What somebody does first is to follow; the rest is at random.
    _, first = np.unique(of, return_index=True)
    kind = rng.choice([1, 2, 3, 4, 4], len(of))
    kind[first] = 0
    with_mail = np.zeros(len(of), dtype=bool)
    with_mail[first] = leaves[of[first]]
    profile = f"left(md5('{channels.seed}social' || network || person), 16)"
    channels.write(
        rng,
        "social.interactions",
        f"""
        'si-' || lpad(cast(n as varchar), 8, '0') as interaction_id, network, page as page_id,
        {profile} as profile_id, given || ' ' || left(family, 1) as profile_name,
        kind as interaction_type,
        case when kind in ('comment', 'mention', 'reaction') then 'post-' || (n % 60) end
            as post_id,
        case when kind in ('comment', 'message', 'mention') then remark end as text,
        case when mail then email_typed end as email, {time_text("moment")} as occurred_at
        """,
        time,
        {
            "person": person[of],
            "network": pick(NETWORKS, network[of]),
            "page": pick(PAGES, network[of]),
            "kind": pick(KINDS, kind),
            "remark": pick(REMARKS, of % len(REMARKS)),
            "mail": with_mail,
        },
        person[of],
        "given family email_typed",
        key="interaction_id",
        broken=[("interaction_type", "wave"), ("occurred_at", "noon")],
        record="network interaction_id",
    )
    channels.tell(
        "social_profile_id",
        f"network || ':' || lower(page) || ':' || {profile}",
        person,
        network=pick(NETWORKS, network),
        page=pick(PAGES, network),
    )


def make_surveys(rng: np.random.Generator, channels: Channels, members: Members) -> None:
    """Sheets of answers: by invitation, in a store by the card, and of nobody in particular."""
    last = channels.last
    invited = channels.choose(rng, channels.own_email, channels.rates["surveyed"])
    carded = members.person[some(rng, len(members), 0.05, 2)]
    nobody = np.full(max(len(invited) // 12, 2), -1)
    person = np.concatenate([invited, carded, nobody])
    way = np.repeat([0, 1, 2], [len(invited), len(carded), len(nobody)])
    begin = np.where(person >= 0, channels.contact[person] + DAY, channels.history.start + DAY)
    begin = np.where(way == 1, members.joined[members.place[person]] + HOUR, begin)
    time = between(rng, np.minimum(begin, last - 2 * HOUR), last - HOUR)
    more = (rng.random(len(person)) < 0.5) | (way == 2)
    sheet = np.concatenate([np.arange(len(person)), np.repeat(np.flatnonzero(more), 3)])
    kind = np.concatenate(
        [np.zeros(len(person), dtype=np.int64), np.tile([1, 2, 3], int(more.sum()))]
    )
    sheet, kind = sheet[order := np.lexsort((kind, sheet))], kind[order]
    score = rng.choice(11, len(sheet), p=[0.02, 0.01, 0.02, 0.02, 0.03, 0.06, 0.07, 0.15, 0.22,
                                          0.2, 0.2])  # fmt: skip
    answers = (
        ("email", "message", "telephone", "post"),
        ("tea drinker", "has a garden", "has children", "travels much"),
        tuple(names.CATEGORIES),
    )
    words = [str(n) for n in range(11)] + [word for group in answers for word in group]
    lengths = np.array([11, 4, 4, len(answers[2])])
    starts = np.cumsum(lengths) - lengths
    choice = (rng.random(len(sheet)) * lengths[kind]).astype(np.int64)
    place = starts[kind] + np.where(kind == 0, score, choice)
    owner = person[sheet]
    by_card = way[sheet] == 1
    year = pa.array(time[sheet]).cast(pa.timestamp("ms")).cast(pa.string())
    channels.write(
        rng,
        "survey.answers",
        f"""
        'an-' || lpad(cast(n as varchar), 8, '0') as answer_id, 'sheet-' || sheet as response_id,
        'nps-' || left(year, 4) as survey_id,
        case kind when 0 then 'recommend' when 1 then 'contact_by' when 2 then 'life'
            else 'likes' end as question_id,
        case kind when 0 then 'nps' when 1 then 'preference' when 2 then 'lifestyle'
            else 'interest' end as question_type,
        answer as answer_value, case when way = 0 then email_typed end as email,
        {card_text("card")} as loyalty_no, {time_text("moment")} as answered_at
        """,
        time[sheet] + kind * 20_000,
        {
            "sheet": sheet,
            "kind": kind,
            "way": way[sheet],
            "year": year,
            "answer": pick(words, place),
            "card": maybe(np.maximum(owner, 0), by_card),
        },
        owner,
        "email_typed",
        key="answer_id",
        broken=[("question_type", "riddle"), ("answered_at", "noon")],
        record="answer_id",
    )
