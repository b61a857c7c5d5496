"""The map of personal data: each column that holds some is tagged; the data itself is looked at."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support import account, cdp, consent, event, make_home, put

from orchestration.home import Home
from orchestration.pii import (
    REJECTED_TEXTS,
    UNDECLARED,
    Place,
    is_tagged,
    personal_columns,
    staged_names,
)

# Whole values, the words of texts, of JSON and of web addresses, and what follows in `source:key`.
BETWEEN_WORDS = r"""[\s"',;|{}\[\]()<>=&?/#]+"""
# An e-mail address, or eight signs with five digits, is nobody else's by accident: one is enough.
TELLING = (
    "length(value) >= 8 "
    "and (value like '%@%' or length(regexp_replace(value, '[^0-9]', '', 'g')) >= 5)"
)
# A name or a city is somebody's brand or street elsewhere: five different ones that are a tenth of
# a column's values are no accident.
FEW, SHARE = 5, 0.1


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def look_at(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection that reads one file and keeps temporary tables beside it.

    The file keeps its own name, since views name the catalog that they were made in.
    """
    connection = duckdb.connect()
    connection.execute(f"attach '{path}' as {path.stem} (read_only)")
    connection.execute(f"use {path.stem}")
    return connection


@dataclass(frozen=True)
class Found:
    """A column in which personal values were found, and how many."""

    place: Place
    telling: int
    describing: int
    distinct: int

    @property
    def is_personal(self) -> bool:
        share = self.describing / self.distinct
        return self.telling > 0 or (self.describing >= FEW and share >= SHARE)


class PersonalValues:
    """What raw and staging tables hold in tagged columns, to be looked for elsewhere."""

    def __init__(self, warehouse: Path, manifest: dict[str, Any]) -> None:
        self.tagged = personal_columns(manifest)
        self.telling: list[str] = []
        self.describing: list[str] = []
        names = names_of_people(manifest)
        with look_at(warehouse) as connection:
            connection.execute("create temp table personal (value varchar, is_name boolean)")
            for schema, table, column in sorted(self.tagged):
                written = schema.startswith("raw_") and column in (UNDECLARED, *REJECTED_TEXTS)
                if not schema.startswith(("raw_", "staging")) or written or "_json" in column:
                    continue
                connection.execute(
                    f"insert into personal select distinct trim({quoted(column)}::varchar), ? "
                    f"from {quoted(schema)}.{quoted(table)} where {quoted(column)} is not null",
                    [column in names],
                )
            # What the seed calls made up is nobody's; JSON is taken apart by staging.
            connection.execute(
                "delete from personal where value like '{%' or value in (select pattern from "
                "seeds.blocked_identifiers union all select unnest(regexp_split_to_array(reason, "
                "'[ ,]+')) from seeds.blocked_identifiers)"
            )
            telling = f"select distinct value from personal where {TELLING} order by 1"
            describing = (
                "select distinct value from personal "
                f"where is_name and length(value) >= 3 and not ({TELLING}) order by 1"
            )
            self.telling = [row[0] for row in connection.execute(telling).fetchall()]
            self.describing = [row[0] for row in connection.execute(describing).fetchall()]

    def found_in(self, path: Path) -> Iterator[Found]:
        """Every column of every table of a file that holds some of them."""
        with look_at(path) as connection:
            for name, values in (("telling", self.telling), ("describing", self.describing)):
                connection.execute(
                    f"create temp table {name} as select unnest(?::varchar[]) as value", [values]
                )
            tables = connection.execute(
                "select table_schema, table_name, list(column_name) "
                "from information_schema.columns where table_catalog = ? group by 1, 2",
                [path.stem],
            ).fetchall()
            for schema, table, columns in sorted(tables):
                yield from self._found_in_table(connection, path.stem, schema, table, columns)

    def _found_in_table(
        self,
        connection: duckdb.DuckDBPyConnection,
        catalog: str,
        schema: str,
        table: str,
        columns: list[str],
    ) -> Iterator[Found]:
        texts = ", ".join(f"{quoted(name)}::varchar as {quoted(name)}" for name in columns)
        place = f"{quoted(catalog)}.{quoted(schema)}.{quoted(table)}"
        rows = connection.execute(
            f"""
            with cells as (
                select distinct name, cell from (
                    unpivot (select {texts} from {place})
                    on columns(*) into name name value cell
                )
            ),
            words as (
                select name, cell, unnest(list_append(regexp_split_to_array(cell, ?), cell)) as word
                from cells
            ),
            judged as (
                select
                    name,
                    case
                        when word in (select value from telling) then word
                        when split_part(word, ':', -1) in (select value from telling)
                            then split_part(word, ':', -1)
                    end as telling,
                    case when cell in (select value from describing) then cell end as describing,
                    cell
                from words
            )
            select name, count(distinct telling), count(distinct describing), count(distinct cell)
            from judged group by 1
            """,
            [BETWEEN_WORDS],
        ).fetchall()
        for name, telling, describing, distinct in rows:
            if telling or describing:
                yield Found((schema, table, name), telling, describing, distinct)


def names_of_people(manifest: dict[str, Any]) -> set[str]:
    """Tagged columns that are spelled as names: people's, their streets' and cities'."""
    names = set()
    for source in manifest["sources"].values():
        for column in source["columns"].values():
            meta = column["config"].get("meta", {})
            for field in (meta, *meta.get("fields", [])):
                if is_tagged(column) and field.get("normalise") == "name":
                    names |= {column["name"], field.get("as", column["name"])}
    return names


@pytest.fixture(scope="module")
def personal(sample_home: Home) -> PersonalValues:
    told = json.loads(sample_home.manifest.read_text())
    values = PersonalValues(sample_home.warehouse, told)
    assert len(values.telling) > 5000 and len(values.describing) > 300
    return values


def test_every_column_that_holds_personal_values_is_tagged(
    sample_home: Home, personal: PersonalValues
) -> None:
    """Raw tables, staging's views, every model: the columns that nobody tagged, by their names."""
    found = list(personal.found_in(sample_home.warehouse))
    untagged = {
        ".".join(one.place): one
        for one in found
        if one.is_personal and one.place not in personal.tagged and one.place[0] != "seeds"
    }
    assert untagged == {}
    seen = {one.place for one in found if one.is_personal}
    assert {schema for schema, _, _ in seen} >= {"raw_shopify", "staging", "identity", "profile"}
    assert len(seen & personal.tagged) > 300, "the search finds what is known to be there"


def test_no_masked_or_counted_table_holds_a_personal_value(
    sample_home: Home, personal: PersonalValues
) -> None:
    """The file for BI with its reports, and the ledger's tables: tagged or not, none is there."""
    years = {
        place for place in personal.tagged if place[2] == "birth_date"
    }  # The first of January is some people's birthday.
    for path in (sample_home.cdp_file, sample_home.ops_file):
        found = {
            ".".join(one.place): one
            for one in personal.found_in(path)
            if one.is_personal and one.place not in years
        }
        assert found == {}, path.name


def test_each_tagged_column_is_masked_and_no_other(
    sample_home: Home, personal: PersonalValues
) -> None:
    """The file for BI against the private one: the tags alone decide which columns differ."""
    with duckdb.connect() as connection:
        for path in (sample_home.cdp_file, sample_home.private_file):
            connection.execute(f"attach '{path}' as {path.stem} (read_only)")
        columns = connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where table_catalog = 'cdp' and table_schema not in "
            "('publication', 'warehouse_audiences')"
        ).fetchall()
        wrong = []
        for place in columns:
            schema, table, column = (quoted(name) for name in place)
            values = [
                set(connection.execute(
                    f"select distinct {column}::varchar from {file}.{schema}.{table} "
                    f"where {column} is not null").fetchall())
                for file in ("cdp", "private")
            ]  # fmt: skip
            # Those born on a first of January keep their day when the year is all that is told.
            unmasked = values[0] & values[1] if place[2] != "birth_date" else set()
            if unmasked if place in personal.tagged else values[0] != values[1]:
                wrong.append(".".join(place))
    assert wrong == []
    assert len(personal.tagged & set(columns)) > 40


def test_the_search_finds_what_it_should(tmp_path: Path, personal: PersonalValues) -> None:
    """A search that finds nothing would be green for ever: planted values, in their guises."""
    address = next(value for value in personal.telling if "@" in value)
    path = tmp_path / "planted.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table notes as select ? as whole, ? as page, ? as json, ? as key, ? as word",
            [
                address,
                f"https://shop.example/?mail={address}&x=1",
                json.dumps({"to": [address]}),
                f"klaviyo.person:{address}",
                f"wrote to {address}, no answer",
            ],
        )
        connection.execute(
            "create table people as select unnest(?::varchar[]) as name, 'Marlow' as brand",
            [personal.describing[:10]],
        )
        connection.execute("create table brands as select unnest(range(100))::varchar as brand")
        connection.execute("insert into brands values (?)", [personal.describing[0]])
    found = {".".join(one.place[1:]) for one in personal.found_in(path) if one.is_personal}
    notes = {f"notes.{name}" for name in ("whole", "page", "json", "key", "word")}
    assert found == {*notes, "people.name"}


def test_a_column_called_as_a_personal_one_is_tagged_in_every_model(
    sample_home: Home, personal: PersonalValues
) -> None:
    """What flows on under its own name is tagged on the way, also where the sample has no value."""
    told = json.loads(sample_home.manifest.read_text())
    sources = told["sources"].values()
    # A key is an account's in some tables and an event's in others; looking at the data tells.
    names = {name for source in sources for name in staged_names(source)} - {"record_key"}
    models = {
        (node["config"]["schema"], node["name"])
        for node in told["nodes"].values()
        if node["resource_type"] == "model" and node["config"]["schema"] != "staging"
    }
    with look_at(sample_home.warehouse) as connection:
        columns = connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns"
        ).fetchall()
    untagged = {
        place
        for place in columns
        if place[:2] in models and place[2] in names and place not in personal.tagged
    }
    assert {".".join(place) for place in untagged} == set()


def test_every_tag_names_a_column_that_there_is(
    sample_home: Home, personal: PersonalValues
) -> None:
    """A renamed column would leave its tag behind and go on without one."""
    with look_at(sample_home.warehouse) as connection:
        columns = set(
            connection.execute(
                "select table_schema, table_name, column_name from information_schema.columns"
            ).fetchall()
        )
    assert {".".join(place) for place in personal.tagged - columns} == set()


CANARY, NAME, FAMILY = "zq-canary-7731@example.com", "Zqcanarina", "Zqvogelsang"
STREET, BORN, BROWSER = "77 Zqnesting Lane", "1907-07-31", "zq-browser-7731"
# As typed, as spelled in one way, and hashed without a key, which is no disguise.
SIGNS = (
    "zq-canary", NAME, FAMILY, "zqnesting", BORN, BROWSER, "07700 900731", "7700900731",
    hashlib.md5(CANARY.encode()).hexdigest(), hashlib.sha256(CANARY.encode()).hexdigest(),
)  # fmt: skip


def signs_in(content: bytes) -> list[str]:
    text = content.lower()
    return [sign for sign in SIGNS if sign.lower().encode() in text]


def bytes_below(*places: Path) -> Iterator[tuple[str, bytes]]:
    for place in places:
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        assert files, f"{place} holds nothing to look at"
        for path in files:
            if path.is_file():
                yield str(path), path.read_bytes()


def texts_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each column of each table as one text: a file's blocks are compressed."""
    with look_at(path) as connection:
        columns = connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where table_catalog = ?",
            [path.stem],
        ).fetchall()
        for schema, table, column in columns:
            statement = (
                f"select string_agg(distinct {quoted(column)}::varchar, chr(10)) "
                f"from {quoted(path.stem)}.{quoted(schema)}.{quoted(table)}"
            )
            [(text,)] = connection.execute(statement).fetchall()
            yield f"{schema}.{table}.{column}", (text or "").encode()


def put_canary(home: Home) -> None:
    """One person in seven sources, with a row that is refused and texts that people typed."""
    at = "2026-10-20 10:00:00"
    known = {"email": CANARY, "phone": "07700 900731", "first_name": NAME, "last_name": FAMILY}
    put(home, "shopify/customer", "customer.csv", [
        account("7731", at, **known),
        account("7732", at, **{**known, "updated_at": f"{CANARY} {NAME}"}),
        account("7733", at, email="dana@post.example"),
    ])  # fmt: skip
    put(home, "shopify/customer_address", "address.csv", [
        {"id": "1", "customer_id": "7731", "first_name": NAME, "last_name": FAMILY,
         "phone": "07700 900731", "address_1": STREET, "city": "York", "zip": "YO1 7HH",
         "country_code": "GB", "is_default": "true", "_fivetran_synced": at, CANARY: NAME},
    ])  # fmt: skip
    put(home, "shopify/order", "order.csv", [
        {"id": "1", "customer_id": "7733", "email": "dana@post.example", "currency": "GBP",
         "total_price": "12.00", "created_at": at, "updated_at": at,
         "shipping_address_first_name": NAME, "shipping_address_last_name": FAMILY,
         "billing_address_first_name": "Dana", "billing_address_last_name": "Reed",
         "_fivetran_synced": at},
    ])  # fmt: skip
    put(home, "shopify/abandoned_checkout", "checkouts.csv", [
        {"id": "1", "customer_id": "7731", "email": CANARY, "cart_token": "c1", "currency": "GBP",
         "total_price": "9.00", "created_at": at, "updated_at": at, "_fivetran_synced": at},
    ])  # fmt: skip
    put(home, "web/events", "events.jsonl", [
        event("1", "identify", "2026-10-20T10:00:00Z", anonymousId=BROWSER, userId="7731",
              traits={"email": CANARY, "firstName": NAME, "lastName": FAMILY, "birthday": BORN},
              context={"ip": "203.0.113.7", "userAgent": "Mozilla/5.0"}),
        event("2", "page", "2026-10-20T10:01:00Z", anonymousId=BROWSER, context={
            "page": {"path": "/welcome", "url": f"https://shop.example/welcome?mail={CANARY}"}}),
        event("3", "track", "2026-10-20T10:02:00Z", anonymousId=BROWSER, event="Searched",
              properties={"query": f"parcel of {NAME} {FAMILY}"}),
    ])  # fmt: skip
    put(home, "consent/consent_events", "consent.csv", [consent("1", CANARY, "subscribed", at)])
    put(home, "zendesk/user", "user.csv", [
        {"id": "9", "email": CANARY, "name": f"{NAME} {FAMILY}", "role": "end-user",
         "created_at": at, "updated_at": at, "_fivetran_synced": at},
    ])  # fmt: skip
    put(home, "zendesk/ticket", "ticket.csv", [
        {"id": "1", "requester_id": "9", "subject": f"I am {NAME}, {CANARY}", "status": "open",
         "created_at": at, "updated_at": at, "_fivetran_synced": at},
    ])  # fmt: skip


@dataclass(frozen=True)
class Canary:
    home: Home
    said: str


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Canary:
    """From landing to the sent mail, in a home of one person more than none."""
    home = make_home(tmp_path_factory.mktemp("canary"))
    put_canary(home)
    ended = cdp(home, "run", "--confirm-first-run", "--json")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    return Canary(home, ended.stdout + ended.stderr)


def test_the_canary_was_there(canary: Canary) -> None:
    """It landed, was refused once, was built, published and written to."""
    home = canary.home
    raw = dict(texts_of(home.warehouse))
    for place in (
        "raw_shopify.customer.email", "raw_shopify.customer__rejected.raw_text",
        "raw_zendesk.ticket.subject", "raw_web.events.traits",
        "raw_shopify.order.shipping_address_first_name",
    ):  # fmt: skip
        assert signs_in(raw[place]), place
    private = dict(texts_of(home.private_file))
    assert set(signs_in(b"\n".join(private.values()))) >= {"zq-canary", NAME, FAMILY, BORN}
    assert signs_in(private["activation.sync_email__welcome.contact_point"])
    assert any(signs_in(content) for _, content in bytes_below(home.root / "archive"))
    assert any(signs_in(content) for _, content in bytes_below(home.outbox / "maildir"))


def test_the_canary_is_in_no_published_column_and_no_report(canary: Canary) -> None:
    home = canary.home
    for path in (home.cdp_file, home.ops_file):
        held = {place: signs_in(text) for place, text in texts_of(path) if signs_in(text)}
        assert held == {}, path.name
    reporting = {
        place: text for place, text in texts_of(home.warehouse) if place.startswith("reporting.")
    }
    assert len(reporting) > 10
    assert {place: signs_in(text) for place, text in reporting.items() if signs_in(text)} == {}


def test_the_canary_is_in_no_log_artefact_event_or_report(canary: Canary) -> None:
    """What dbt and Dagster keep of the run, the quality reports, and what the command printed."""
    home = canary.home
    places = (home.root / "logs", home.dbt_target, home.root / "dagster", home.root / "reports")
    files = dict(bytes_below(*places, home.state, home.cdp_file, home.ops_file))
    named = {Path(name).name for name in files}
    assert named >= {"run_results.json", "manifest.json", "dbt.log", "runs.db", "landing.html"}
    held = {name: signs_in(content) for name, content in files.items() if signs_in(content)}
    assert held == {}
    assert signs_in(canary.said.encode()) == []
