"""Privacy requests: what is held, erasure from every place, tombstones, suppression.

The small company has one person, Mona, in many spellings, and Olaf, who must not lose a row. What
names her is looked for by a scanner that shares nothing with the code that erases.
"""

import gzip
import json
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import (
    AGAIN,
    AS_OF,
    KILLED_ERASURE,
    PEOPLE,
    PROJECT,
    SEED,
    Dbt,
    account,
    cdp,
    consent,
    environment_of,
    event,
    land_waiting,
    make_home,
    put,
    query,
    run_home,
    silent,
)
from sync_fixtures import drop_connection, mirror_sync, people, publish, run
from test_backup import copied, files_of, give_manifest, order

from orchestration.backup import backup_home, look_into, restore_home
from orchestration.build_state import end_build
from orchestration.demo.company import make_company
from orchestration.doctor import examine
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.landing.declarations import load_declarations
from orchestration.landing.readers import raw_records
from orchestration.privacy.access import Held, access, render
from orchestration.privacy.erase import Erased, NobodyKnown, erase
from orchestration.privacy.person import forms_of
from orchestration.privacy.requests import Journal, Requests
from orchestration.privacy.rows import Needles, emptied
from orchestration.privacy.spelling import Spelling
from orchestration.privacy.suppress import change_suppression
from orchestration.privacy.suppressions import read_suppressions
from orchestration.privacy.tombstones import Hasher, Tombstones
from orchestration.syncs.ledger import Ledger
from orchestration.warehouse.base import quoted

SELECT = ("+identity_redirects", "+record_customers", "+contact_permissions")
AT = "2026-10-20 10:00:00"
PLANNED = f"{AT}.000000"
ACCOUNT, ANONYMOUS, CLICK = "7700000000031", "mona-browser-0001", "gclid-mona-00001"
EMAIL, SECOND_EMAIL, PHONE = "mona.lind@post.example", "m.lind@work.example", "+447700900123"
CARD, CUSTOMER_NO, AGENT_ID = "LY-MONA-01", "17850", "381000000077"
MONA = {
    ("shopify_customer_id", ACCOUNT),
    ("anonymous_id", ANONYMOUS),
    ("click_id", CLICK),
    ("email", EMAIL),
    ("email", SECOND_EMAIL),
    ("phone", PHONE),
    ("loyalty_no", CARD),
    ("erp_customer_no", CUSTOMER_NO),
    ("zendesk_user_id", AGENT_ID),
}
# What she typed where: none of it is spelled as identity spells it.
TYPED = ("Mona.Lind@Post.Example", "MONA.LIND@POST.EXAMPLE", "07700 900123", "(0)7700-900 123")


def put_company(home: Home) -> None:
    """Mona in every source and spelling, and Olaf beside her in the same files."""
    put(
        home,
        "shopify/customer",
        "accounts.csv",
        [
            account(ACCOUNT, AT, email=TYPED[0], first_name="Mona"),
            account("7700000000048", AT, email="olaf@post.example", first_name="Olaf"),
        ],
    )
    put(
        home,
        "shopify/order",
        "orders.csv",
        [
            order("o-mona-1", customer_id=ACCOUNT, email=TYPED[1], billing_address_phone=TYPED[2]),
            # A guest whom only the phone names, typed as at home.
            order("o-mona-2", email=SECOND_EMAIL, billing_address_phone=TYPED[3]),
            # Olaf's: a column that nobody declared quotes Mona.
            order(
                "o-olaf-1",
                customer_id="7700000000048",
                gift_note=f"Gift for {EMAIL}, ring 07700 900123",
            ),
        ],
    )
    put(
        home,
        "shopify/order_line",
        "lines.csv",
        [
            {"id": f"l-{number}", "order_id": number, "quantity": "1", "price": "10"}
            for number in ("o-mona-1", "o-mona-2", "o-olaf-1")
        ],
    )
    put(
        home,
        "web/events",
        "events.jsonl",
        [
            event(1, "page", AT, anonymousId=ANONYMOUS, context={"page": {
                "url": f"https://shop.example/?gclid={CLICK}&to={EMAIL.replace('@', '%40')}"}}),
            event(2, "identify", AT, anonymousId=ANONYMOUS, userId=ACCOUNT, traits={
                "email": TYPED[1], "phone": TYPED[2], "customer_no": CUSTOMER_NO,
                "address": {"country": "GB"}}),
            event(3, "page", AT, anonymousId="olaf-browser-001", userId="7700000000048"),
        ],
    )  # fmt: skip
    put(
        home,
        "consent/consent_events",
        "answers.csv",
        [
            consent("mona", TYPED[1], "subscribed", AT),
            consent("olaf", "olaf@post.example", "subscribed", AT),
            # Rejected: she stands in the rejected row's text.
            consent("bad", TYPED[0], "perhaps", AT),
        ],
    )
    put(
        home,
        "pos/receipts",
        "receipts.csv",
        [
            receipt("r-mona", loyalty_no=CARD.lower(), email=TYPED[1]),
            # Brought back without a card: it belongs to her receipt alone.
            receipt("r-back", receipt_type="return", original_receipt_id="r-mona"),
            receipt("r-olaf", email="olaf@post.example"),
        ],
    )
    put(
        home,
        "erp/invoice_lines",
        "invoices.csv",
        [
            invoice("i-1", CustomerID=f"{CUSTOMER_NO}.0"),
            # The same number where it is a quantity is nobody's.
            invoice("i-2", CustomerID="17851", Quantity=CUSTOMER_NO),
        ],
    )
    put(
        home,
        "zendesk/user",
        "users.csv",
        [{"id": AGENT_ID, "role": "end-user", "external_id": ACCOUNT, "email": TYPED[0],
          "created_at": AT, "updated_at": AT}],
    )  # fmt: skip
    put(
        home,
        "zendesk/ticket",
        "tickets.csv",
        [{"id": "t-1", "requester_id": AGENT_ID, "subject": "Mona asks", "created_at": AT}],
    )
    write_parquet(
        home,
        "survey/answers",
        [
            answer("s-1", TYPED[1]),
            answer("s-2", "olaf@post.example"),
        ],
    )


def receipt(number: str, **given: str) -> dict[str, str]:
    return {
        "receipt_id": number,
        "store_id": "s1",
        "receipt_type": "sale",
        "original_receipt_id": "",
        "loyalty_no": "",
        "email": "",
        "country_code": "GB",
        "currency": "GBP",
        "total_amount": "5",
        "issued_at": AT,
        **given,
    }


def invoice(number: str, **given: str) -> dict[str, str]:
    return {
        "InvoiceNo": number,
        "StockCode": "LAMP",
        "Quantity": "1",
        "InvoiceDate": AT,
        "UnitPrice": "3",
        "Country": "United Kingdom",
        **given,
    }


def answer(number: str, address: str) -> dict[str, str]:
    return {
        "answer_id": number,
        "survey_id": "s",
        "question_id": "q",
        "question_type": "nps",
        "email": address,
        "score": "9",
        "answered_at": AT,
    }


def write_parquet(home: Home, place: str, rows: list[dict[str, str]]) -> None:
    path = home.landing / place / "rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


# Looking for somebody, without the code under test ---------------------------------------------


def duckdb_rows(path: Path, values: set[str], nodes: set[int]) -> Iterator[str]:
    """Tables of a DuckDB file in which a value stands, or a key made of one."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as looked (read_only)")
        columns = connection.execute(
            "select table_schema, table_name, column_name, data_type "
            "from information_schema.columns as columns semi join information_schema.tables "
            "as tables on columns.table_name = tables.table_name "
            "and tables.table_type = 'BASE TABLE' and columns.table_schema = tables.table_schema "
            "where table_catalog = 'looked'"
        ).fetchall()
        for schema, table, column, kind in columns:
            place = f"looked.{quoted(schema)}.{quoted(table)}"
            if kind == "BIGINT":
                found = connection.execute(
                    f"select count(*) from {place} where {quoted(column)} in "
                    "(select unnest(?::bigint[]))",
                    [sorted(nodes)],
                ).fetchone()
            elif kind == "VARCHAR":
                # A short number is a quantity too: it must not stand where identifiers do.
                found = connection.execute(
                    f"select count(*) from {place}, (select unnest(?::varchar[]) as value) "
                    f"where contains(lower({quoted(column)}), value) and length(value) >= 9",
                    [sorted({value.lower() for value in values})],
                ).fetchone()
            else:
                continue
            if found and found[0]:
                yield f"{path.name}: {schema}.{table}.{column}"
            if column == "identifier_value":
                whole = connection.execute(
                    f"select 1 from {place} where identifier_value in "
                    "(select unnest(?::varchar[])) limit 1",
                    [sorted(values)],
                ).fetchone()
                if whole:
                    yield f"{path.name}: {schema}.{table} has an identifier"


def contents_of(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what is within it where it is packed."""
    content = path.read_bytes()
    yield content
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                inner = path.parent / f".inner-{Path(name).name}"
                inner.write_bytes(archive.read(name))
                yield from contents_of(inner)
                inner.unlink()
    elif content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:4] == b"PAR1":
        yield str(pq.read_table(path).to_pylist()).encode()
    elif content[:15] == b"SQLite format 3":
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            yield "\n".join(connection.iterdump()).encode()


def where_named(root: Path, values: set[str], nodes: set[int]) -> list[str]:
    """Every place below a folder where one of the values, or a key made of one, stands."""
    found = []
    long_values = {value.lower().encode() for value in values if len(value) >= 9}
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        if path.suffix == ".duckdb":
            found += duckdb_rows(path, values, nodes)
        for content in contents_of(path):
            lowered = content.lower()
            found += [f"{path.relative_to(root)}" for value in long_values if value in lowered]
    return sorted(set(found))


VALUES = {value for _, value in MONA} | {*TYPED, EMAIL.replace("@", "%40")}


def nodes_of(home: Home, values: set[str]) -> set[int]:
    rows = query(
        home.warehouse,
        "select node_key from identity.identity_map where identifier_value in "
        "(select unnest(?::varchar[]))",
        [sorted(values)],
    )
    return {row[0] for row in rows}


# The small company -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """A home in which Mona is known, what of it was landed, and what identity made of her."""

    home: Home
    landed: Path
    customer_id: str
    nodes: set[int]
    backup: Path


@pytest.fixture(scope="module")
def story(dbt: Dbt, manifest_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("privacy")
    home = make_home(root / "home")
    give_manifest(manifest_home, home)
    put_company(home)
    landed = root / "landed"
    shutil.copytree(home.landing, landed)
    dbt.build(home, SELECT)
    end_build(home)
    (customer,) = {
        row[0]
        for row in query(
            home.warehouse,
            "select customer_id from identity.identity_map "
            "where is_current and (identifier_type, identifier_value) in "
            f"({', '.join(str(pair) for pair in sorted(MONA))})",
        )
    }
    send_to(home, customer)
    backup = backup_home(home, root, AS_OF).path
    home = Home(home.root)
    # What lies about: a log, a report, files that wait and cannot be read.
    for place, name, text in (
        ("logs", "old.log", f"kept\nerror for {EMAIL}\nkept too\n"),
        ("reports", "old.html", f"<p>{TYPED[1]}</p>"),
        ("landing/shopify/customer", "waiting.csv", waiting_csv()),
        (
            "landing/shopify/customer",
            "broken.csv",
            f"email,other\n{TYPED[0]},x\nolaf@p.example,y\n",
        ),
        ("landing/nowhere", "notes.txt", f"ask {EMAIL}\nask olaf\n"),
    ):
        path = home.root / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    make_runs(home)
    return Story(home, landed, customer, nodes_of(home, VALUES), backup)


def waiting_csv() -> str:
    rows = [
        account(ACCOUNT, "2026-10-21 10:00:00", email=TYPED[0]),
        account("9", AT, email="n@p.example"),
    ]
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n"


def make_runs(home: Home) -> None:
    """A Dagster run whose log quotes her, as an error of a tool may."""
    path = home.dagster / "history" / "runs.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table event_logs (id integer primary key, event text)")
        connection.executemany(
            "insert into event_logs (event) values (?)", [(f"no such user {EMAIL}",), ("kept",)]
        )


def send_to(home: Home, customer: str) -> None:
    """The ledger of a mirror that holds her, and one open change."""
    with (
        Ledger.open(home) as ledger,
        closing(sqlite3.connect(home.ledger)) as connection,
        connection,
    ):
        for change, state in (("c1", "acked"), ("c2", "deferred")):
            connection.execute(
                "insert into outbox (change_id, run_id, sync, customer_id, operation, state, "
                "planned_at, person_hmac, fp_after, content_encrypted) "
                "values (?, 'run', 'sync_csv_drop__lapsing_high_value', ?, 'insert', ?, ?, "
                "?, 'f', ?)",
                [change, customer, state, PLANNED, ledger.keys.hash(EMAIL),
                 ledger.keys.encrypt(EMAIL)],
            )  # fmt: skip
        connection.execute(
            "insert into delivered (sync, dest_key_hmac, person_hmac, customer_id, "
            "dest_key_encrypted, state, changed_at) "
            "values ('sync_csv_drop__lapsing_high_value', 'k', 'p', ?, ?, 'present', ?)",
            [customer, ledger.keys.encrypt(customer), PLANNED],
        )


@pytest.fixture
def mona(story: Story, tmp_path: Path) -> Iterator[Home]:
    """A copy of the home that may be erased from; its backup is known to it."""
    home = copied(story.home, tmp_path / "home")
    backup = tmp_path / "backups" / story.backup.name
    backup.parent.mkdir()
    shutil.copy(story.backup, backup)
    (home.state / "backups.json").write_text(json.dumps([str(backup)]))
    yield home
    shutil.rmtree(tmp_path, ignore_errors=True)


def erase_quickly(home: Home, identifier: str, **options: Any) -> Erased:
    """An erasure whose build is left out: the steps around it are looked at."""
    return erase(home, identifier, AS_OF, silent, build=lambda *_: None, **options)


def named_of(story: Story, home: Home) -> list[str]:
    return where_named(home.root.parent, VALUES, story.nodes)


def test_she_is_everywhere_before(story: Story, mona: Home) -> None:
    """The scanner sees what the erasure must find."""
    places = " ".join(named_of(story, mona))
    for place in ("raw_shopify.order.", "raw_web.events", "raw_consent.consent_events__rejected",
                  "identity.identity_map", "identity_registry.anchor_node_key", "archive/",
                  "answers.csv", "landing/shopify", "old.log", "runs.db", "backups/", "old.html",
                  ".parquet"):  # fmt: skip
        assert place in places, place


def test_erased_is_erased_everywhere_and_stays_out(
    story: Story, dbt: Dbt, mona: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    others = query(mona.warehouse, "select * from identity.identity_map where customer_id <> ? "
                   "order by all", [story.customer_id])  # fmt: skip
    erased = erase_quickly(mona, TYPED[0])
    assert (erased.request.status, erased.left, erased.was_before) == ("finished", 0, False)
    counted = {each.place: (each.removed, each.changed) for each in erased.counts}
    assert counted["raw_shopify.customer"] == (1, 0)
    # Her two orders and their lines; Olaf's order keeps all but the words about her.
    assert counted["raw_shopify.order"] == (2, 1)
    assert counted["raw_shopify.order_line"] == (2, 0)
    assert counted["raw_pos.receipts"] == (2, 0)
    assert counted["raw_zendesk.ticket"] == (1, 0)
    assert counted["raw_erp.invoice_lines"] == (1, 0)
    assert counted["raw_consent.consent_events__rejected"] == (1, 0)
    assert counted["archive/survey.answers"] == (1, 0)
    assert counted["ledger"] == (1, 2)
    assert named_of(story, mona) == []
    gift = query(mona.warehouse, "select _extra from raw_shopify.order where id = 'o-olaf-1'")
    assert gift == [('{"gift_note":"Gift for , ring "}',)]
    quantity = query(mona.warehouse, 'select "Quantity" from raw_erp.invoice_lines')
    assert quantity == [(int(CUSTOMER_NO),)]
    # Ids are for ever: hers leads to nobody, and the history says why.
    assert query(
        mona.warehouse,
        "select status, anchor_node_key, minted_node_key from identity.identity_registry "
        "where customer_id = ?",
        [story.customer_id],
    ) == [("retired", None, None)]
    assert query(
        mona.warehouse,
        "select event_type from identity.identity_events where customer_id = ? "
        "order by event_sequence",
        [story.customer_id],
    ) == [("create",), ("erase",)]
    report = mona.state / "privacy" / f"{erased.request.request_id}.report.json"
    assert not Journal(mona, erased.request.request_id).has_begun
    assert stat.S_IMODE(report.stat().st_mode) == 0o600

    # A build without her, the very files again, and the same rows in another file.
    (mona.landing / "shopify/customer/broken.csv").unlink()
    dbt.build(mona, SELECT, as_of=AS_OF)
    after = query(mona.warehouse, "select * from identity.identity_map order by all")
    assert set(others) <= set(after)
    for again in ("same", "changed"):
        for path in sorted(story.landed.rglob("*")):
            if path.is_file():
                target = mona.landing / path.relative_to(story.landed)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
                if again == "changed" and path.suffix == ".csv":
                    header, *rows = path.read_text().splitlines()
                    target.with_name("other.csv").write_text("\n".join([header, *rows[::-1]]))
        (mona.landing / "shopify/customer/broken.csv").unlink(missing_ok=True)
        shutil.rmtree(mona.landing / "nowhere", ignore_errors=True)
        report_again = land_waiting(mona)
        assert again == "same" or report_again.suppressed > 5
        dbt.build(mona, SELECT, as_of=AS_OF)
        assert named_of(story, mona) == []
    assert query(
        mona.warehouse,
        "select count(*) from raw_landing.loads where landed_count <> "
        "loaded_count + rejected_count + duplicate_count + coalesce(suppressed_count, 0)",
    ) == [(0,)]
    assert query(
        mona.warehouse,
        "select count(distinct id) from raw_shopify.order where customer_id = '7700000000048'",
    ) == [(1,)]
    told = capsys.readouterr()
    assert not any(value in told.out + told.err for value in VALUES if len(value) > 8)


def test_other_rows_of_a_rewritten_file_are_as_they_were(story: Story, mona: Home) -> None:
    before = {path.name: path.read_bytes() for path in mona.archive.rglob("*.csv")}
    erase_quickly(mona, ACCOUNT)
    for path in mona.archive.rglob("*.csv"):
        lines, kept = before[path.name].splitlines(True), path.read_bytes().splitlines(True)
        changed = [line for line in kept if line not in lines]
        assert [line for line in changed if b"o-olaf-1" not in line] == [], path.name
        assert lines[0] == kept[0]


def test_somebody_unknown_is_told_so_and_nothing_is_remembered(story: Story, mona: Home) -> None:
    before = files_of(mona)
    with pytest.raises(NobodyKnown, match="No table knows"):
        erase_quickly(mona, "nobody@post.example")
    assert files_of(mona) == before
    ended = cdp(mona, "privacy", "erase", "nobody@post.example", "--yes")
    assert ended.returncode == 2 and "nothing was erased" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not Tombstones(mona)


def test_somebody_erased_before_is_told_when(story: Story, mona: Home) -> None:
    first = erase_quickly(mona, EMAIL)
    before = files_of(mona)
    for identifier in (EMAIL.upper(), PHONE, story.customer_id):
        again = erase_quickly(mona, identifier)
        assert again.was_before and again.request.finished_at == first.request.finished_at
    ended = cdp(mona, "privacy", "erase", SECOND_EMAIL, "--yes")
    assert (
        ended.returncode == 0 and f"Erased before, at {first.request.finished_at}" in ended.stdout
    )
    assert files_of(mona) == before


@pytest.mark.parametrize(
    "point",
    [
        "erase_before_journal",
        "erase_after_tombstones",
        "erase_after_archive",
        "erase_before_swap",
        "erase_after_swap",
        "erase_after_build",
        "erase_after_ledger",
        "erase_after_files",
    ],
)
def test_a_killed_erasure_goes_on_when_it_is_run_again(
    story: Story, mona: Home, point: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_ERASURE, str(mona.root), PHONE],
        env={**environment_of(mona), "CDP_TEST_KILL_AT": point, "PYTHONPATH": str(PROJECT)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (request,) = Requests(mona).all()
    assert request.status in ("validated", "running")
    # By another identifier of hers: what the first was is not known any more.
    erased = erase_quickly(mona, SECOND_EMAIL)
    assert (erased.request.request_id, erased.request.status) == (request.request_id, "finished")
    assert named_of(story, mona) == []
    counted = {each.place: each.removed for each in erased.counts}
    assert counted["raw_shopify.customer"] == 1


def test_a_step_that_fails_says_so_and_is_done_by_the_next_run(story: Story, mona: Home) -> None:
    def broken(*_: object) -> None:
        raise CdpError("a check is red")

    with pytest.raises(CdpError, match="a check is red"):
        erase(mona, EMAIL, AS_OF, silent, build=broken)
    (request,) = Requests(mona).all()
    assert request.status == "failed" and "step build failed" in request.note
    assert erase_quickly(mona, EMAIL).request.status == "finished"


def test_a_send_in_progress_is_waited_for(story: Story, mona: Home) -> None:
    with Ledger.open(mona) as ledger:
        assert ledger.acquire_lease("sync_email__welcome", datetime.now(UTC))
        with pytest.raises(CdpError, match="is being sent"):
            erase_quickly(mona, EMAIL)
        ledger.release_lease()
    assert erase_quickly(mona, EMAIL).request.status == "finished"


def test_a_destination_without_its_connection_keeps_the_request_open(
    story: Story, mona: Home
) -> None:
    connections = mona.connections.read_text()
    mona.connections.unlink()
    erased = erase_quickly(mona, EMAIL)
    assert erased.request.status == "partial" and erased.left == 1
    with closing(sqlite3.connect(mona.ledger)) as connection:
        assert connection.execute("select count(*) from delivered").fetchall() == [(1,)]
    mona.connections.write_text(connections)
    assert erase_quickly(mona, EMAIL).request.status == "finished"
    assert named_of(story, mona) == []


def test_exact_takes_one_identifier_out_and_leaves_the_customer(story: Story, mona: Home) -> None:
    erased = erase_quickly(mona, EMAIL, strategy="exact")
    assert erased.request.status == "finished"
    assert query(
        mona.warehouse, "select email, first_name from raw_shopify.customer where id = ?", [ACCOUNT]
    ) == [(None, "Mona")]
    left = {
        row[0]
        for row in query(
            mona.warehouse,
            "select identifier_value from identity.identity_map where customer_id = ?",
            [story.customer_id],
        )
    }
    assert left == {value for _, value in MONA} - {EMAIL}
    assert where_named(mona.root, {EMAIL, TYPED[1]}, set()) == []


def test_a_backup_of_before_does_not_bring_anybody_back(
    story: Story, mona: Home, tmp_path: Path
) -> None:
    erase_quickly(mona, EMAIL)
    (rewritten,) = (tmp_path / "backups").iterdir()
    assert look_into(rewritten).contents.build_number == 1
    # One that was kept elsewhere was not rewritten: the home's tombstones know her still.
    end_build(mona)
    restore_home(mona, story.backup, AS_OF, silent, yes=True)
    assert nodes_of(mona, VALUES) == set()
    with closing(sqlite3.connect(mona.ledger)) as connection:
        assert connection.execute("select count(*) from delivered").fetchall() == [(0,)]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(story.backup, elsewhere)


def test_backups_in_a_folder_that_is_named_are_rewritten_too(
    story: Story, mona: Home, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(story.backup, folder / "copy.zip")
    erased = erase_quickly(mona, EMAIL, backup_folders=[folder])
    assert "backup/copy.zip" in {each.place for each in erased.counts}
    assert named_of(story, mona) == []


# Access ----------------------------------------------------------------------------------------


def test_access_lists_what_raw_holds(story: Story, mona: Home, tmp_path: Path) -> None:
    shutil.copy(mona.warehouse, mona.private_file)
    with duckdb.connect(str(mona.private_file)) as connection:
        views = connection.execute(
            "select schema_name, view_name from duckdb_views() where not internal"
        ).fetchall()
        for schema, view in views:
            connection.execute(f"drop view {quoted(schema)}.{quoted(view)}")
    answer = access(mona, TYPED[1], folder=tmp_path / "answer")
    told = json.loads(answer.json_file.read_text())
    rows = {table: len(listed) for table, listed in told["raw"].items()}
    assert rows["raw_shopify.order"] == 2 and rows["raw_shopify.order_line"] == 2
    assert rows["raw_consent.consent_events__rejected"] == 1
    assert rows["raw_web.events"] == 2 and rows["raw_zendesk.ticket"] == 1
    # Olaf's order names her: that it does is told, not what he bought.
    assert told["named_in"] == {"raw_shopify.order": 1}
    assert "o-olaf-1" not in answer.json_file.read_text() + answer.page.read_text()
    assert {row["identifier_value"] for row in told["identifiers"]} == {v for _, v in MONA}
    assert len(told["sends"]) == 2 and told["models"]["identity.identity_map"]
    for path in (answer.json_file, answer.page):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = answer.page.read_text()
    assert "raw_shopify.order (2)" in page and "<script" not in page and "src=" not in page
    ended = cdp(mona, "privacy", "access", "nobody@post.example")
    assert ended.returncode == 2


def test_a_page_escapes_all_it_shows() -> None:
    bad = "<script>alert('&')</script>"
    held = Held([{"identifier_type": "email", bad: bad}], [], {bad: [{bad: bad}]})
    page = render(held, bad, datetime.now(UTC))
    assert "<script" not in page and "&lt;script&gt;alert(&#x27;&amp;&#x27;)" in page


# Suppression -----------------------------------------------------------------------------------


PERMISSIONS = """
select contact_point, is_permitted, reason from profile.contact_permissions
where channel = 'email' and purpose = 'marketing' and contact_point in (?, ?) order by 1
"""


def test_suppress_reaches_contact_permissions_and_is_taken_back(
    story: Story, dbt: Dbt, mona: Home
) -> None:
    def permissions() -> list[tuple[Any, ...]]:
        dbt.build(mona, SELECT, *AGAIN)
        return query(mona.warehouse, PERMISSIONS, [EMAIL, "olaf@post.example"])

    for name in ("broken.csv", "waiting.csv"):
        (mona.landing / "shopify/customer" / name).unlink()
    olaf = ("olaf@post.example", True, "subscribed")
    assert permissions() == [(EMAIL, True, "subscribed"), olaf]
    changed = change_suppression(mona, TYPED[1], "suppress")
    assert (changed.contact_points, changed.changed) == (1, 1)
    assert permissions() == [(EMAIL, False, "suppressed"), olaf]
    assert change_suppression(mona, EMAIL, "suppress").changed == 0
    ended = cdp(mona, "privacy", "unsuppress", EMAIL, "--json")
    assert json.loads(ended.stdout)["changed"] == 1
    assert permissions() == [(EMAIL, True, "subscribed"), olaf]
    # Stored encrypted, told by hash.
    change_suppression(mona, EMAIL, "suppress")
    kept = b"".join(path.read_bytes() for path in (mona.state / "privacy").iterdir())
    assert EMAIL.encode() not in kept
    # Erased, she is on no list any more.
    erase_quickly(mona, EMAIL)
    assert read_suppressions(mona) == {}
    assert named_of(story, mona) == []


def test_a_send_heeds_a_suppression_before_the_next_build(empty_home: Home) -> None:
    home = empty_home
    publish(home, people(3), "sync_csv_drop__vip")
    assert run(home, mirror_sync(), drop_connection()).counts["acked"] == 3
    address = people(3)[1].address
    change_suppression(home, address, "suppress", strategy="exact")
    result = run(home, mirror_sync(), drop_connection())
    assert (result.counts["delete"], result.counts["acked"]) == (1, 1)
    assert run(home, mirror_sync(), drop_connection()).counts["withheld"] == 1


def test_what_cannot_be_suppressed_is_refused(empty_home: Home) -> None:
    with pytest.raises(CdpError, match="Nobody with a contact point"):
        change_suppression(empty_home, "LY-1", "suppress")
    with pytest.raises(CdpError, match="Only an e-mail address or a phone"):
        change_suppression(empty_home, "LY-1", "suppress", strategy="exact")


# Pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to Mona.Lind@Post.Example.", {"Mona.Lind@Post.Example"}),
        ("?to=mona.lind%40post.example&x=1", {"mona.lind%40post.example"}),
        ("xmona.lind@post.example, a.mona.lind@post.example", set()),
        ("mona.lind@post.example.org", set()),
        ("ring 07700 900123 or (0)7700-900 123", {"07700 900123", "(0)7700-900 123"}),
        ("+44 7700 900123", {"+44 7700 900123"}),
        ("no 9077009001234", set()),
        ("17850 pieces", set()),
    ],
)
def test_values_are_found_in_other_text(text: str, found: set[str]) -> None:
    assert Needles(MONA, {"44", "4", "84"}).found_in(text) == found


def test_nobody_is_found_by_no_values() -> None:
    assert not Needles([]) and Needles([]).found_in("anything") == set()


@pytest.mark.parametrize(
    ("text", "raws", "left"),
    [
        ("a@b.example", {"a@b.example"}, None),
        ('{"email":"A@b.example","n":1}', {"A@b.example"}, '{"email":null,"n":1}'),
        ('{"no":17850,"piece":178501}', {"17850"}, '{"no":null,"piece":178501}'),
        ('{"u":"/?id=gclid-0000001&x"}', {"gclid-0000001"}, '{"u":"/?id=&x"}'),
    ],
)
def test_a_cell_is_emptied_and_its_json_stays_json(
    text: str, raws: set[str], left: str | None
) -> None:
    assert emptied(text, raws) == left


def test_identifiers_are_looked_up_in_every_spelling() -> None:
    assert PHONE in forms_of(" +44 7700 900123 ") and PHONE in forms_of("0044 (7700) 900-123")
    assert EMAIL in forms_of(TYPED[1]) and CARD in forms_of(CARD.lower())


def test_tombstones_hold_hashes_and_refuse_another_key(empty_home: Home) -> None:
    tombstones = Tombstones(empty_home)
    assert (
        tombstones.add([("email", EMAIL)], "r1") == 1
        and tombstones.add([("email", EMAIL)], "r2") == 0
    )
    kept = Tombstones(empty_home)
    assert kept.matches("email", EMAIL) and not kept.matches("phone", EMAIL)
    assert EMAIL not in tombstones.path.read_text()
    assert stat.S_IMODE(tombstones.path.stat().st_mode) == 0o600
    assert Hasher(b"a").hash("x", EMAIL) != Hasher(b"b").hash("x", EMAIL)
    empty_home.secrets_file.write_text("CDP_ID_PEPPER=another\nCDP_LEDGER_KEY=x\n")
    with pytest.raises(CdpError, match="CDP_ID_PEPPER is not the key"):
        Tombstones(empty_home)


def test_a_request_counts_its_days(empty_home: Home) -> None:
    requests = Requests(empty_home)
    request = requests.receive("erase", "exact", datetime(2026, 11, 1, tzinfo=UTC))
    assert request.due_on == "2026-12-01" and request.days_left(date(2026, 11, 11)) == 20
    assert request.days_left(date(2026, 12, 2)) == -1
    ((near, told),) = [
        (each.state, each.found) for each in examine(empty_home) if each.what == "privacy requests"
    ]
    assert near in ("note", "bad") and told.startswith("1 wait")
    done = requests.update(request, status="finished")
    assert done.days_left(date(2026, 11, 11)) is None
    ended = cdp(empty_home, "privacy", "status", "--json")
    assert [row["status"] for row in json.loads(ended.stdout)] == ["finished"]


@pytest.mark.parametrize("name", ["a.csv", "b.jsonl"])
def test_the_records_of_a_file_are_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = (
        '\ufeffa,b\r\n1,"x\ny"\r\n\r\n2,"open "quote"\n3,z'
        if name == "a.csv"
        else '{"a": 1}\n\n{"b": "\u2028"}'
    )
    path.write_text(text, newline="")
    records = list(raw_records(path))
    assert "".join(record.text for record in records) == text.removeprefix("\ufeff")
    assert [record.row for record in records if record.row] == (
        [1, 2, 3] if name == "a.csv" else [1, 2]
    )


def test_identifiers_are_spelled_as_staging_spells_them(sample_home: Home) -> None:
    """Every identifier that identity knows of a sample company is found in raw, and no other."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{sample_home.warehouse}' as old (read_only)")
        spelling = Spelling(connection)
        found: set[tuple[str, str]] = set()
        for source in load_declarations(PROJECT).values():
            for table in source.tables.values():
                place = f"(select *, rowid as row_id from old.{table.schema}.{quoted(table.name)})"
                fields = spelling.fields(table)
                if sql := spelling.mentions(table, place):
                    found |= {
                        (fields[number].kind, value)
                        for number, value in connection.execute(
                            f"select distinct field_number, spelled_value from ({sql})"
                        ).fetchall()
                        if fields[number].is_evidence
                    }
        known = set(
            connection.execute(
                "select identifier_type, identifier_value from old.identity.identifiers"
            ).fetchall()
        )
    # Robots, our own people and agents of the desk name identifiers that identity leaves out.
    left_out = {kind for kind, _ in found - known}
    assert known <= found and left_out <= {"anonymous_id", "email", "zendesk_user_id"}


# The whole way ---------------------------------------------------------------------------------


MEMBER = """
select identifier_value from identity.identity_map
where is_current and identifier_type = 'email' and customer_id = (
    select customer_id from identity.identity_map
    inner join activation.sync_csv_drop__lapsing_high_value using (customer_id)
    where is_current and is_permitted
    group by 1 order by count(distinct identifier_type) desc, count(*) desc, 1 limit 1
)
limit 1
"""


def test_a_member_of_a_mirror_is_erased_from_a_whole_company(
    sample_home: Home, copy_home: Callable[[Home], Home], tmp_path: Path
) -> None:
    """Erased, built, published, the removal sent; landed again, and again zero."""
    home = copy_home(sample_home)
    (email,) = query(home.private_file, MEMBER)[0]
    before = dict(query(
        home.private_file,
        "select identifier_type || '|' || identifier_value, customer_id "
        "from identity.identity_map where is_current",
    ))  # fmt: skip
    customer = before[f"email|{email}"]
    mine = {name for name, each in before.items() if each == customer}
    values = {name.partition("|")[2] for name in mine}
    nodes = nodes_of(home, values)
    assert any("outbox/" in place for place in where_named(home.root, values, nodes))

    ended = cdp(home, "privacy", "erase", email.upper(), "--yes", "--json", timeout=900)
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout)
    assert told["status"] == "finished"
    assert not any(value in ended.stdout + ended.stderr for value in values if len(value) > 8)
    assert where_named(home.root, values, nodes) == []

    original = tmp_path / "original"
    make_company(original / "landing", original / "truth", PEOPLE, SEED, AS_OF)
    shutil.copytree(original / "landing", home.landing, dirs_exist_ok=True)
    shutil.rmtree(original)
    # One in another file than before, so that its rows are read again and not its name.
    orders = sorted((home.landing / "shopify/order").glob("*.csv"))[0]
    orders.with_name("again.csv").write_text(orders.read_text() + "\n")
    run_home(home)
    assert where_named(home.root, values, nodes) == []
    after = dict(query(
        home.private_file,
        "select identifier_type || '|' || identifier_value, customer_id "
        "from identity.identity_map where is_current",
    ))  # fmt: skip
    assert after == {name: each for name, each in before.items() if name not in mine}
