"""Advertising: spend and clicks of the networks, bought audiences, and robots on the site."""

import numpy as np
import pyarrow as pa

from orchestration.demo.channels import Channels, pick, some
from orchestration.demo.delivery import DAY, HOUR, Ints, plan_delivery, write_lines
from orchestration.demo.shop import time_text
from orchestration.demo.web import FACEBOOK_CLICK, browser_text, click_text, iso_times

# Network, its id of the campaign, the campaign's name, and a day's usual spend in hundredths.
CAMPAIGNS = (
    ("google", "1100", "spring", 4_200), ("google", "1101", "brand", 1_500),
    ("facebook", "2200", "gifts", 3_600), ("facebook", "2201", "video", 2_400),
)  # fmt: skip
SPRING, GIFTS = 0, 2
KEYWORDS = ("gift ideas", "teapot", "home decoration", "candles", "garden lantern")
# Provider, party, audience, its name, and what it may be used for: 70, 20 and 10 per cent.
AUDIENCES = (
    ("datahub", "third", "a1", "Home and garden", "activation"),
    ("datahub", "third", "a2", "Tea and coffee", "activation"),
    ("datahub", "third", "a3", "New parents", "activation"),
    ("datahub", "third", "a4", "Moving house", "analytics"),
    ("datahub", "third", "a5", "High income", "none"),
    ("skymiles", "second", "b1", "Frequent flyers", "activation"),
    ("skymiles", "second", "b2", "City breaks", "activation"),
    ("skymiles", "second", "b3", "Lounge guests", "analytics"),
    ("homebank", "second", "c1", "New card holders", "activation"),
    ("homebank", "second", "c2", "Savers", "activation"),
)
OLDEST_DAYS = 150
ROBOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
)


def make_ads(rng: np.random.Generator, channels: Channels) -> None:
    """What was spent by day, and the clicks that the networks tell of."""
    history, web = channels.history, channels.web
    days = (history.end - history.start) // DAY
    day = np.repeat(history.start + np.arange(days) * DAY, len(CAMPAIGNS))
    campaign = np.tile(np.arange(len(CAMPAIGNS)), days)
    usual = np.array([spend for *_, spend in CAMPAIGNS])[campaign]
    spend = (usual * rng.lognormal(0.0, 0.3, len(day))).astype(np.int64)
    # The networks correct some of their days two days later.
    again = some(rng, len(day), 0.05)
    again = again[day[again] + 3 * DAY < channels.last]
    row = np.concatenate([np.arange(len(day)), again])
    second = np.arange(len(row)) >= len(day)
    times = np.where(second, day[row] + 3 * DAY, np.minimum(day[row] + 26 * HOUR, channels.last))
    paid = np.where(second, spend[row] * 98 // 100, spend[row])
    channels.write(
        rng,
        "ads.daily_spend",
        f"""
        network, id as campaign_id, upper(left(name, 1)) || substr(name, 2) || ' campaign'
            as campaign_name, name as utm_campaign,
        strftime(epoch_ms(day), '%Y-%m-%d') as day,
        case network when 'facebook' then 'USD' else 'GBP' end as currency,
        cast(paid * 3 as varchar) as impressions, cast(paid // 60 as varchar) as clicks,
        cast(cast(paid as decimal(18, 2)) / 100 as decimal(18, 2))::varchar as spend,
        {time_text("moment")} as updated_at
        """,
        times,
        {
            "day": day[row],
            "network": pick([entry[0] for entry in CAMPAIGNS], campaign[row]),
            "id": pick([entry[1] for entry in CAMPAIGNS], campaign[row]),
            "name": pick([entry[2] for entry in CAMPAIGNS], campaign[row]),
            "paid": paid,
        },
        key="campaign_id",
        broken=[("spend", "lots"), ("currency", "ZZZ"), ("day", "someday")],
    )
    told = rng.random(len(web.click_session)) >= channels.rates["clicks_untold"]
    session = web.click_session[told]
    clicked = np.maximum(web.click_time[told] - rng.integers(2, 20, len(session)) * 1000,
                         history.start)  # fmt: skip
    of = np.where(session % 12 == FACEBOOK_CLICK, GIFTS, SPRING)
    channels.write(
        rng,
        "ads.clicks",
        f"""
        {click_text("session", channels.seed)} as click_id, network, id as campaign_id,
        case network when 'google' then keyword end as keyword,
        {time_text("moment")} as clicked_at
        """,
        clicked,
        {
            "session": session,
            "network": pick([entry[0] for entry in CAMPAIGNS], of),
            "id": pick([entry[1] for entry in CAMPAIGNS], of),
            "keyword": pick(KEYWORDS, session % len(KEYWORDS)),
        },
        web.click_person[told],
        key="click_id",
        broken=[("clicked_at", "noon")],
        record="click_id",
    )
    # The address of the page tells the click's id, whether the network tells of it or not.
    channels.tell(
        "click_id", click_text("session", channels.seed), web.click_person,
        session=web.click_session,
    )  # fmt: skip
    apps = np.flatnonzero(web.apps)
    channels.tell(
        "mobile_ad_id", browser_text("browser", channels.seed, "m"), web.browser_person[apps],
        browser=web.browser_of[apps],
    )  # fmt: skip


def make_audiences(rng: np.random.Generator, channels: Channels) -> None:
    """Bought and borrowed audiences; some are old, and some keys are nobody's."""
    people, web, seed = channels.people, channels.web, channels.seed
    total = max(round(len(people) * channels.rates["third_party_rows"]), 30)
    apps = web.browser_of[web.apps]
    kind = rng.choice(3, total, p=[0.5, 0.2, 0.3])
    browser = rng.choice(web.browser_of, total)
    browser = np.where(kind == 1, rng.choice(apps, total) if len(apps) else browser, browser)
    person = rng.choice(np.flatnonzero(channels.own_email), total)
    unknown = rng.random(total) < 0.06
    age = (rng.random(total) * OLDEST_DAYS * DAY).astype(np.int64)
    delivered = np.maximum(channels.last - age, channels.history.start)
    audience = rng.integers(0, len(AUDIENCES), total)

    def column(place: int) -> pa.Array:
        return pick([entry[place] for entry in AUDIENCES], audience)

    channels.write(
        rng,
        "dmp.audience_members",
        f"""
        provider, party, audience as audience_id, title as audience_name,
        case kind when 0 then 'cookie' when 1 then 'mobile_ad_id' else 'hashed_email' end
            as key_type,
        case
            when kind = 0 then {browser_text("browser", seed)}
            when kind = 1 then {browser_text("browser", seed, "m")}
            when stranger then sha256('nobody-' || browser || '@example.org')
            else sha256(lower(trim(email_a)))
        end as key_value,
        licence, {time_text("moment")} as delivered_at
        """,
        delivered,
        {
            "provider": column(0),
            "party": column(1),
            "audience": column(2),
            "title": column(3),
            "licence": column(4),
            "kind": kind,
            # No browser has a number below zero.
            "browser": np.where(unknown, -1 - np.arange(total), browser),
            "stranger": unknown,
        },
        person,
        "email_a",
        key="key_value",
        broken=[("licence", "perhaps"), ("delivered_at", "noon")],
    )


def make_robots(rng: np.random.Generator, channels: Channels) -> None:
    """Visits of robots, in files of their own: the truth knows nobody behind them."""
    history, output, seed = channels.history, channels.output, channels.seed
    visits = max(round(channels.web.sessions * channels.rates["bot_visits"]), 2)
    start = history.start + HOUR + (
        rng.random(visits) * (channels.last - history.start - 2 * HOUR)
    ).astype(np.int64)  # fmt: skip
    pages = rng.integers(3, 9, visits)
    visit = np.repeat(np.arange(visits), pages)
    turn = np.arange(len(visit)) - np.repeat(np.cumsum(pages) - pages, pages)
    time: Ints = start[visit] + turn * 2_000
    periods = channels.periods
    plan = plan_delivery(rng, time, periods, {**channels.settings.rows, "malformed": 0.0})
    kept = np.flatnonzero(~plan.broken)
    row, period = plan.row[kept], plan.period[kept]
    base = pa.table(
        {
            "n": row,
            "visit": visit[row],
            "product": rng.integers(0, channels.shop.prices.shape[1], len(visit))[row],
            "robot": pick(ROBOTS, visit[row] % len(ROBOTS)),
            "happened": iso_times(time[row]),
            "sent": iso_times(plan.delivered[kept] - 400),
            "received": iso_times(plan.delivered[kept]),
        }
    )
    words = output.render(
        f"""
        select concat(
            '{{"messageId":"ajs-', md5('{seed}robot' || n), '","type":"page","name":"Catalogue',
            '","anonymousId":"', {browser_text("visit", seed, "r")}, '","timestamp":"', happened,
            '","sentAt":"', sent, '","receivedAt":"', received,
            '","channel":"browser","version":"2","context":{{"page":{{"path":"/catalogue/',
            product, '","url":"https://shop.example/catalogue/', product, '"}},"userAgent":"',
            robot, '","ip":"198.51.100.', (visit % 254 + 1), '","locale":"en-GB"}}}}', chr(10)
        ) as line
        from base
        """,
        base=base,
    )
    edges = np.searchsorted(period, np.arange(len(periods.names) + 1))
    for index, name in enumerate(periods.names):
        low, high = int(edges[index]), int(edges[index + 1])
        if low < high:
            lines = words.take(pa.array(np.arange(low, high)))
            output.write(
                "web", "events", f"events_robots_{name}.jsonl",
                lambda file, lines=lines: write_lines(lines, file),  # type: ignore[misc]
            )  # fmt: skip
    output.count("web", "events", len(row))
