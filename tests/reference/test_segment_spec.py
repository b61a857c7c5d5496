"""Every call that the pages of the Segment specification show, from landed line to timeline."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from reference_files import reference_folder
from support import PROJECT, Dbt, land_waiting, make_home, put, query

from orchestration.home import Home
from orchestration.landing import load_declarations

pytestmark = pytest.mark.reference

# What is measured on the pages. A fenced block is taken where it is a whole JSON object that is a
# call (it has `type`, or `action`, the older word for it) ...
JSON_CALLS = {
    "alias.md": 2,
    "b2b-saas.md": 10,
    "common.md": 1,
    "copilot.md": 9,
    "email.md": 6,
    "group.md": 2,
    "identify.md": 2,
    "live-chat.md": 3,
    "mobile.md": 13,
    "page.md": 2,
    "screen.md": 2,
    "track.md": 3,
    "video.md": 16,
}
# ... or one `analytics.track(...)` whose arguments are literals: the library's own spelling of the
# same call, and the only one that the page of e-commerce events (v2.md) has.
TRACK_CALLS = {
    "best-practices-identify.md": 1,
    "common.md": 1,
    "ecommerce-tracking-plan.md": 1,
    "track.md": 1,
    "v2.md": 25,
    "video.md": 16,
}
# The page's own slips: a comma is missing after cart_id, so that no library could send them.
NOT_TO_BE_READ = {"Coupon Applied", "Coupon Denied", "Coupon Removed"}

# The pages' own times are of 2015; a browser's id is believed for 395 days.
AS_OF, AT = date(2015, 12, 13), "2015-12-12T12:00:00.000Z"
FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TRACK = re.compile(r"\s*analytics\.track\((.*)\);?\s*", re.DOTALL)
JAVASCRIPT = re.compile(
    r"""'(?P<text>[^'\\]*)'|"[^"\\]*"|(?P<aside>//[^\n]*|\xa0|,(?=\s*[}\]]))|(?P<key>\w+)(?=\s*:)"""
)
SELECTED = ("+interactions", "+customers")
USER, OFFICE = "shopify_customer_id", "office@initech.example"
NAMED = ("type", "event", "name", "userId", "groupId", "previousId")
# Column of the call, path in it, staged name.
FIELDS = (
    ("context", "page.url", "page_url"),
    ("context", "page.path", "page_path"),
    ("context", "page.referrer", "page_referrer"),
    ("context", "campaign.name", "campaign_name"),
    ("context", "campaign.source", "campaign_source"),
    ("context", "campaign.medium", "campaign_medium"),
    ("context", "device.id", "device_id"),
    ("context", "device.type", "device_type"),
    ("context", "ip", "ip_address"),
    ("context", "userAgent", "user_agent"),
    ("properties", "product_id", "product_id"),
    ("properties", "cart_id", "cart_id"),
    ("properties", "order_id", "order_id"),
    ("properties", "url", "property_url"),
    ("properties", "coupon", "coupon"),
    ("properties", "query", "search_query"),
    ("properties", "value", "value_amount"),
    ("properties", "currency", "currency"),
)


@dataclass(frozen=True)
class Call:
    """One call of a page: what is given there, and the event that is landed for it."""

    page: str
    number: int
    given: dict[str, Any]
    is_json: bool = True

    @property
    def key(self) -> str:
        return f"{self.page}-{self.number}"

    @property
    def event(self) -> dict[str, Any]:
        """What is given, untouched, and what a library adds by itself to each call."""
        missing = {
            "messageId": self.key,
            "type": self.given.get("action", "track"),
            "timestamp": AT,
            "receivedAt": AT,
        }
        return missing | self.given


def literal(javascript: str) -> Any:
    """The value of a literal of JavaScript; a ValueError where it is none."""

    def spelt(found: re.Match[str]) -> str:
        if found["text"] is not None:
            return json.dumps(found["text"])
        if found["key"]:
            return f'"{found["key"]}"'
        return "" if found["aside"] else found[0]

    return json.loads(JAVASCRIPT.sub(spelt, javascript))


def calls_of(page: Path) -> Iterator[Call]:
    for number, block in enumerate(FENCED.findall(page.read_text(encoding="utf-8"))):
        tracked = TRACK.fullmatch(block)
        try:
            told = literal(f"[{tracked[1]}]") if tracked else [json.loads(block)]
        except ValueError:
            continue
        if tracked and isinstance(told[0], str):
            named = dict(zip(("event", "properties"), told, strict=False))
            yield Call(page.name, number, {**named, **(told[2] if told[2:] else {})}, False)
        elif tracked or {"type", "action"} & set(told[0]):
            yield Call(page.name, number, told[0], not tracked)


@pytest.fixture(scope="module")
def pages() -> Path:
    return reference_folder("connectors/segment_spec")


@pytest.fixture(scope="module")
def calls(pages: Path) -> list[Call]:
    return [call for page in sorted(pages.glob("*.md")) for call in calls_of(page)]


@dataclass(frozen=True)
class Site:
    """A home whose visitors made every call once."""

    home: Home
    calls: list[Call]

    @property
    def calls_by_key(self) -> dict[str, Call]:
        return {call.key: call for call in self.calls}

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return query(self.home.warehouse, statement)

    def staged(self, columns: str) -> dict[str, tuple[Any, ...]]:
        """Columns of the staged events, by the call's key."""
        rows = self.ask(f"select event_id, {columns} from staging.stg_web__events")
        return {key: tuple(told) for key, *told in rows}


@pytest.fixture(scope="module")
def given(calls: list[Call], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Every call as it is given, landed."""
    home = make_home(tmp_path_factory.mktemp("given"))
    put(home, "web/events", "events.jsonl", [call.event for call in calls])
    land_waiting(home, AS_OF)
    return Site(home, calls)


@pytest.fixture(scope="module")
def site(calls: list[Call], dbt: Dbt, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Every call with a messageId of its own, built.

    The pages give one messageId to calls of different kinds and users, which would be versions of
    one event. With the calls comes a group call whose traits hold what the page lists and its
    example lacks: the company's address.
    """
    home = make_home(tmp_path_factory.mktemp("site"))
    group = next(call for call in calls if call.page == "group.md")
    office = {"email": OFFICE, "phone": "+442071838750", "firstName": "Initech"}
    company = group.event | {"messageId": "office", "traits": group.given["traits"] | office}
    own = [call.event | {"messageId": call.key} for call in calls]
    put(home, "web/events", "events.jsonl", [*own, company])
    dbt.build(home, SELECTED, as_of=AS_OF)
    return Site(home, calls)


def per_page(calls: list[Call]) -> dict[str, int]:
    return dict(Counter(call.page for call in calls))


def test_the_calls_of_the_pages_are_all_found(calls: list[Call]) -> None:
    assert per_page([call for call in calls if call.is_json]) == JSON_CALLS
    assert per_page([call for call in calls if not call.is_json]) == TRACK_CALLS
    assert (sum(JSON_CALLS.values()), len(calls)) == (71, 116)
    assert {call.event["type"] for call in calls} == {
        "identify", "track", "page", "screen", "group", "alias"
    }  # fmt: skip


def test_every_call_is_loaded_and_none_is_rejected(given: Site) -> None:
    n = len(given.calls)
    assert given.ask(
        "select landed_count, loaded_count, rejected_count, duplicate_count, status, message "
        "from raw_landing.loads"
    ) == [(n, n, 0, 0, "loaded", None)]
    assert given.ask("select * from raw_web.events__rejected") == []


def test_nothing_that_a_call_says_is_lost(given: Site) -> None:
    """What is declared is in its column, whole; what is not is kept aside."""
    columns = load_declarations(PROJECT)["web"].tables["events"].columns
    names = [column.name for column in columns]
    listed = ", ".join(f'"{name}"' for name in names)
    rows = given.ask(f"select _extra, {listed} from raw_web.events order by _row")
    aside: Counter[str] = Counter()
    for call, (extra, *values) in zip(given.calls, rows, strict=True):
        unknown = {key: call.given[key] for key in call.given if key not in names}
        assert json.loads(extra or "{}") == unknown, call.key
        aside.update(unknown.keys())
        for column, value in zip(columns, values, strict=True):
            told = call.event.get(column.name)
            if column.data_type == "timestamp":
                spelt = value and f"{value.isoformat(timespec='milliseconds')}Z"
                assert spelt == told, (call.key, column.name)
            elif column.format == "json":
                assert (value and json.loads(value)) == told, (call.key, column.name)
            else:
                assert value == (told if told is None else str(told)), (call.key, column.name)
    assert aside == {"action": 34, "user_id": 6, "role": 1}


def test_every_call_is_staged_with_its_type_and_name(site: Site) -> None:
    staged = site.staged("event_type, event_name, page_name, user_id, group_id, previous_id")
    for call in site.calls:
        told = [call.event.get(key) for key in NAMED]
        assert staged[call.key] == tuple(told), call.key


def at(event: dict[str, Any], column: str, path: str) -> Any:
    """What a call says at a path of a JSON column."""
    found: Any = event.get(column)
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def test_a_page_a_campaign_and_a_product_are_staged_from_where_the_specification_puts_them(
    site: Site,
) -> None:
    staged = site.staged(", ".join(name for _, _, name in FIELDS))
    told_of: Counter[str] = Counter()
    for call in site.calls:
        for (column, path, name), value in zip(FIELDS, staged[call.key], strict=True):
            told = at(call.event, column, path)
            told_of[name] += told is not None
            if name == "value_amount" and told is not None:
                told = Decimal(str(told))
            assert value == told, (call.key, name)
    assert min(told_of.values()) > 0, told_of
    assert told_of["page_url"] == told_of["page_path"] == 3
    assert staged["page.md-0"][[name for _, _, name in FIELDS].index("property_url")]


def test_every_call_is_one_interaction_with_the_name_that_it_was_given(site: Site) -> None:
    activities = dict(site.ask("select interaction_id, activity from profile.interactions"))
    for call in site.calls:
        kind = call.event["type"]
        expected = {"page": "page_viewed", "screen": "page_viewed"}.get(kind, f"web_{kind}")
        if kind == "track":
            expected = re.sub("[^a-z0-9]+", "_", call.event["event"].lower())
        assert activities[f"web.events:{call.key}"] == expected, call.key


def test_the_e_commerce_events_of_the_tables_are_activities(site: Site, pages: Path) -> None:
    """The page lists its events in tables; each has an example."""
    text = (pages / "v2.md").read_text(encoding="utf-8")
    overview = text[: text.index("\n## Browsing\n")]
    names = set(re.findall(r"^\| (\w+(?: \w+)+) +\|", overview, re.MULTILINE))
    told = {call.event["event"] for call in site.calls if call.page == "v2.md"}
    assert names - told == NOT_TO_BE_READ and not told - names
    activities = {row[0] for row in site.ask("select activity from profile.interactions")}
    assert activities >= {name.lower().replace(" ", "_") for name in told}
    assert activities >= {"products_searched", "product_viewed", "cart_viewed", "order_completed"}


def test_only_an_identify_call_says_who_a_person_is(site: Site) -> None:
    staged = site.staged("email, phone, first_name, address_line, city, postal_code, country_code")
    assert staged["office"] == (None,) * 7
    emails = set()
    for call in site.calls:
        email, *others = staged[call.key]
        if call.event["type"] == "identify":
            assert email == call.given["traits"]["email"], call.key
            emails.add(email)
        else:
            assert [email, *others] == [None] * 7, call.key
    # The two examples are of one person; the second knows where that person lives.
    address = staged["identify.md-2"][3:]
    told = {**site.calls_by_key["identify.md-2"].given["traits"]["address"], "country": "US"}
    assert address == tuple(told[key] for key in ("street", "city", "postalCode", "country"))
    assert site.ask(
        "select distinct identifier_value from identity.identity_map "
        "where identifier_type in ('email', 'phone') and is_current"
    ) == [(email,) for email in emails]
    assert site.ask(
        "select address_line, city, postal_code, country_code from profile.customers "
        "where email is not null"
    ) == [address]


def test_the_ids_of_a_call_lead_to_one_customer(site: Site) -> None:
    customers: dict[tuple[str, str], str] = {
        (kind, value): customer
        for kind, value, customer in site.ask(
            "select identifier_type, identifier_value, customer_id from identity.identity_map "
            "where is_current"
        )
    }
    interactions = dict(site.ask("select interaction_id, customer_id from profile.interactions"))
    users_of: dict[str, set[str]] = {}
    for call in site.calls:
        if "userId" in call.given and "anonymousId" in call.given:
            users_of.setdefault(call.given["anonymousId"], set()).add(call.given["userId"])
    for call in site.calls:
        customer = customers.get((USER, call.given.get("userId", "")))
        assert (customer is not None) == ("userId" in call.given), call.key
        if customer:
            assert interactions[f"web.events:{call.key}"] == customer, call.key
        if call.event["type"] == "alias":
            assert customers["anonymous_id", call.given["previousId"]] == customer, call.key
        if len(users_of.get(call.given.get("anonymousId", ""), ())) == 1:
            assert customers["anonymous_id", call.given["anonymousId"]] == customer, call.key
    # A browser on which two log in is evidence for neither.
    users = {value: customer for (kind, value), customer in customers.items() if kind == USER}
    assert len(users) == len(set(users.values())) == 7
    shared = [browser for browser, seen in users_of.items() if len(seen) > 1]
    assert len(shared) == 1
    assert customers["anonymous_id", shared[0]] not in users.values()
