"""The sample company: a shop in four markets with the troubles of real customer data.

Everything is made from a seed: the same arguments give the same bytes, so that a claim about
the platform can be checked again by anybody. Nothing in it belongs to a real person: names are
common words, e-mail addresses lie in reserved domains, phone numbers are made up.

The files go to the landing folder as the connectors of real sources would write them. Who is
truly behind each record goes to the truth folder, which the platform never reads.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from orchestration.demo.advertising import make_ads, make_audiences, make_robots
from orchestration.demo.catalogue import make_catalogue
from orchestration.demo.channels import Channels, choose_everywhere
from orchestration.demo.company_settings import Settings, read_settings
from orchestration.demo.contact_channels import make_service, make_social, make_surveys
from orchestration.demo.crm import make_crm
from orchestration.demo.delivery import History, Output, person_ids, write_csv
from orchestration.demo.line_account import make_line
from orchestration.demo.loyalty import make_coupons, make_ledger
from orchestration.demo.mailing import make_mailing
from orchestration.demo.other_sources import make_consent, make_erp, make_rates
from orchestration.demo.people import GUEST, People, make_people
from orchestration.demo.shop import EMAIL_ACCOUNT, Shop, customer_ids, make_shop
from orchestration.demo.stores import make_members, make_receipts
from orchestration.demo.subscriptions import make_subscriptions
from orchestration.demo.web import Web, browser_text, make_web
from orchestration.errors import CdpError

FEWEST_PEOPLE = 200
MOST_PEOPLE = 2_000_000


@dataclass(frozen=True)
class CompanySummary:
    """What was made: people, rows per source.table as delivered, files, and how long it took."""

    people: int
    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    seconds: float = 0.0


def _silent(line: str) -> None:
    """Progress that nobody wants to see."""


def make_company(
    landing: Path,
    truth: Path,
    customers: int = 10_000,
    seed: int = 7,
    as_of: date = date(2026, 11, 1),
    progress: Callable[[str], None] = _silent,
    settings: Settings | None = None,
) -> CompanySummary:
    """Write the sample company's files and its truth; the same arguments, the same bytes."""
    landing, truth = landing.resolve(), truth.resolve()
    if truth.is_relative_to(landing):
        raise CdpError("The truth folder lies below landing, where the platform would read it.")
    if not FEWEST_PEOPLE <= customers <= MOST_PEOPLE:
        raise CdpError(f"customers must lie between {FEWEST_PEOPLE} and {MOST_PEOPLE:,}.")
    if seed < 0:
        raise CdpError("seed must not be below zero.")
    settings = settings or read_settings()
    begun = time.perf_counter()
    history = History(as_of, settings.sizes["months"], settings.sizes["daily_web_days"])
    truth.mkdir(parents=True, exist_ok=True)
    output = Output(landing, truth, duckdb.connect(":memory:"))
    # Each part draws from a stream of its own: a change in one leaves the others as they were.
    streams = [np.random.Generator(np.random.PCG64([seed, part])) for part in range(22)]
    try:
        output.connection.execute("set preserve_insertion_order = true")
        people = make_people(streams[0], customers, settings, history, output)
        progress(f"people: {customers:,} in 4 markets")
        make_rates(streams[1], settings, history, output)
        progress(_line(output, "fx"))
        shop = make_shop(streams[2], people, settings, history, output)
        web = make_web(streams[3], people, shop, settings, history, output, seed)
        progress(_line(output, "shopify"))
        progress(_line(output, "web"))
        make_erp(streams[4], people, settings, history, output)
        progress(_line(output, "erp"))
        asked = make_consent(streams[5], people, shop, settings, history, output)
        progress(_line(output, "consent"))
        everywhere = choose_everywhere(streams[6], people, shop, settings, history)
        channels = Channels(people, shop, web, settings, history, output, seed, everywhere)
        _make_channels(streams[7:], channels, progress)
        _write_people(people, truth)
        _write_identifiers(people, shop, web, asked, output, seed, channels.told)
        progress("truth: people, records and identifiers")
    finally:
        output.close()
    return CompanySummary(
        customers, dict(output.rows), output.files, round(time.perf_counter() - begun, 2)
    )


def _line(output: Output, source: str) -> str:
    rows = sum(n for name, n in output.rows.items() if name.startswith(f"{source}."))
    return f"{source}: {rows:,} rows"


def _make_channels(
    streams: list[np.random.Generator], channels: Channels, progress: Callable[[str], None]
) -> None:
    """The sources beside the shop and its site, one stream each."""
    output = channels.output
    make_robots(streams[0], channels)
    make_catalogue(streams[1], channels)
    progress(_line(output, "pim"))
    members = make_members(streams[2], channels)
    receipts = make_receipts(streams[3], channels, members)
    progress(_line(output, "pos"))
    make_ledger(streams[4], channels, members, receipts)
    make_coupons(streams[5], channels, members, receipts)
    progress(_line(output, "loyalty"))
    make_subscriptions(streams[6], channels)
    progress(_line(output, "subscriptions"))
    make_crm(streams[7], channels)
    progress(_line(output, "hubspot"))
    make_mailing(streams[8], channels)
    progress(_line(output, "klaviyo"))
    make_service(streams[9], channels)
    progress(_line(output, "zendesk"))
    make_line(streams[10], channels)
    progress(_line(output, "line"))
    make_social(streams[11], channels)
    progress(_line(output, "social"))
    make_surveys(streams[12], channels, members)
    progress(_line(output, "survey"))
    make_ads(streams[13], channels)
    progress(_line(output, "ads"))
    make_audiences(streams[14], channels)
    progress(_line(output, "dmp"))


def _write_people(people: People, truth: Path) -> None:
    """One row per person, with the troubles that this person has."""
    troubles = {
        "shared_device": people.tablet >= 0,
        "family_phone": people.family_member,
        "office_mailbox": people.office >= 0,
        "junk_value": people.junk > 0,
        "name_typo": people.typo,
        "two_emails": people.two_emails,
        "other_spelling": people.other_spelling,
        "local_digits": people.local_digits,
    }
    # The troubles of a person make one number, of which few values occur.
    mask = np.zeros(len(people), dtype=np.int64)
    for place, has in enumerate(troubles.values()):
        mask |= has.astype(np.int64) << place
    texts = [
        ";".join(name for place, name in enumerate(troubles) if number >> place & 1)
        for number in range(1 << len(troubles))
    ]
    table = pa.table(
        {
            "person_id": person_ids(np.arange(len(people))),
            "market": people.words["country"],
            "troubles": pa.array(texts).take(pa.array(mask)),
        }
    )
    with (truth / "people.csv").open("wb") as file:
        write_csv(table, file)


def _write_identifiers(
    people: People,
    shop: Shop,
    web: Web,
    asked: tuple[np.ndarray, np.ndarray],
    output: Output,
    seed: int,
    told: list[pa.Table],
) -> None:
    """Each identifier with each person who truly uses it, spelled as the platform spells it."""
    count = len(people)
    orders_with_own = np.zeros(count, dtype=bool)
    orders_with_own[shop.person[shop.email_kind == EMAIL_ACCOUNT]] = True
    guest = people.kind == GUEST
    own_email = people.account | orders_with_own | asked[0]
    # An account's phone shows when it is opened, a guest's on the order.
    phone = people.has_phone & (people.account | guest)
    base = pa.table(
        {
            "person": np.arange(count),
            "person_id": person_ids(np.arange(count)),
            "account": people.account,
            "customer_id": customer_ids(np.arange(count)),
            "own_email": own_email,
            "two_emails": people.two_emails,
            "uses_phone": phone,
            **people.take(np.arange(count), "email_a email_b office_mailbox phone erp_number"),
        }
    )
    browsers = pa.table(
        {
            "person_id": person_ids(web.browser_person),
            "browser": web.browser_of,
            "app": web.apps,
        }
    )
    words = output.render(
        f"""
        with identifiers as (
            select 'shopify_customer_id' as identifier_type,
                cast(customer_id as varchar) as identifier_value, person_id
            from base where account
            union all
            select 'erp_customer_no', erp_number, person_id from base where erp_number is not null
            union all
            select 'email', lower(trim(email_a)), person_id from base where own_email
            union all
            select 'email', lower(trim(email_b)), person_id from base where two_emails
            union all
            select 'email', office_mailbox, person_id from base where office_mailbox is not null
            union all
            select 'phone', phone, person_id from base where uses_phone
            union all
            select 'anonymous_id', {browser_text("browser", seed)}, person_id from browsers
            union all
            select 'device_id', {browser_text("browser", seed, "d")}, person_id
            from browsers where app
            union all
            select identifier_type, identifier_value,
                'P' || lpad(cast(person + 1 as varchar), 7, '0')
            from told
        )
        select * from identifiers order by identifier_type, identifier_value, person_id
        """,
        base=base,
        browsers=browsers,
        told=pa.concat_tables(told),
    )
    with (output.truth / "identifiers.csv").open("wb") as file:
        write_csv(words, file)
