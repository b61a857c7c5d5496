"""`cdp privacy access`: all that is held of a person, as JSON and as a page for reading.

Raw rows and the loader's rejected ones come from the warehouse, models from the published file,
sends from the ledger. A row of somebody else that merely names the person is counted and not
shown: it is not theirs to see.
"""

import html
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration.errors import CdpError
from orchestration.home import PROJECT, Home
from orchestration.landing.declarations import load_declarations
from orchestration.landing.store import rejected_name
from orchestration.lock import hold_lock
from orchestration.privacy.engines import has_warehouse, reading
from orchestration.privacy.erase import NobodyKnown
from orchestration.privacy.person import Person, Strategy, find_person
from orchestration.privacy.raw import RawFinder, chosen, of_chosen
from orchestration.privacy.requests import Request, Requests
from orchestration.privacy.suppressions import read_suppressions
from orchestration.warehouse.base import quoted

FOLDER = "access"
Rows = list[dict[str, Any]]

_SENDS = """
select sync, operation, state, reason_code, planned_at, settled_at, attempts, status_code
from outbox where customer_id = ? order by change_number
"""


@dataclass
class Held:
    """What is held of one person, table by table."""

    identifiers: Rows
    customer_ids: list[str]
    raw: dict[str, Rows] = field(default_factory=dict)
    models: dict[str, Rows] = field(default_factory=dict)
    sends: Rows = field(default_factory=list)
    suppressed: Rows = field(default_factory=list)
    # Rows of others in which the person is named: how many, by table.
    named_in: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @property
    def rows(self) -> int:
        tables = [*self.raw.values(), *self.models.values()]
        return sum(len(rows) for rows in tables) + len(self.sends)


@dataclass(frozen=True)
class Answer:
    """A request for access that was answered, and where."""

    request: Request
    held: Held = field(repr=False)
    json_file: Path
    page: Path


def access(
    home: Home,
    identifier: str,
    strategy: Strategy = "connected",
    kind: str | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
    wait_seconds: float = 0,
) -> Answer:
    """Write all that is held of a person; raises `NobodyKnown` for somebody no table knows."""
    if not has_warehouse(home) or not home.private_file.exists():
        raise CdpError("Nothing is published yet: run `cdp run` first.")
    with hold_lock(home, "privacy access", wait_seconds, progress):
        progress("looking the person up")
        with reading(home) as connection:
            person = find_person(connection, identifier, strategy, kind)
            if person is None:
                raise NobodyKnown(
                    "No table knows this identifier, so nothing is held under it. Look at the "
                    "spelling; a file that still waits in landing/ is known after `cdp run`."
                )
            requests = Requests(home)
            now = datetime.now(UTC)
            request = requests.receive("access", strategy, now)
            request = requests.update(request, subjects=requests.subjects(person.identifiers))
            held = _held(home, connection, person)
        target = folder or home.root / FOLDER
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        json_file = target / f"access-{request.request_id}.json"
        page = json_file.with_suffix(".html")
        told = {"request_id": request.request_id, "answered_at": now, **held.as_dict()}
        text = json.dumps(told, indent=2, ensure_ascii=False, default=str)
        _write(json_file, text)
        _write(page, render(held, request.request_id, now))
        request = requests.update(
            request, status="finished", finished_at=now.isoformat(timespec="seconds")
        )
    return Answer(request, held, json_file, page)


def _held(home: Home, connection: duckdb.DuckDBPyConnection, person: Person) -> Held:
    held = Held(
        [
            {"identifier_type": kind, "identifier_value": v}
            for kind, v in sorted(person.identifiers)
        ],
        sorted(person.customer_ids),
    )
    raw = RawFinder.on(connection, load_declarations(PROJECT, home.root))
    person, _ = raw.with_rows(person)
    for table, marks in raw.marks(person):
        name = f"{table.schema}.{table.name}"
        if marks.dropped:
            with chosen(connection, marks.dropped):
                held.raw[name] = _dicts(
                    connection,
                    f"select * exclude (row_id) from {of_chosen(table)} order by _load_id, _row",
                )
        if marks.changed:
            held.named_in[name] = len(marks.changed)
        if rejected := raw.rejected(person, table):
            place = f"old.{quoted(table.schema)}.{quoted(rejected_name(table.name))}"
            listed = ", ".join(map(str, sorted(rejected)))
            held.raw[f"{name}__rejected"] = _dicts(
                connection, f"select * from {place} where rowid in ({listed})"
            )
    held.models = dict(_models(home, person))
    held.sends = list(_sends(home, person))
    held.suppressed = [
        {"contact_point_type": point[0], "contact_point": point[1], "suppressed_at": since}
        for point, since in sorted(read_suppressions(home).items())
        if point in person.identifiers
    ]
    return held


def _models(home: Home, person: Person) -> Iterator[tuple[str, Rows]]:
    """Rows of every published model that are by the person's customer_id or identifier."""
    named = [f"{kind}|{value}" for kind, value in sorted(person.identifiers)]
    with duckdb.connect(str(home.private_file), read_only=True) as connection:
        tables = connection.execute(
            "select table_schema, table_name, list(column_name) from information_schema.columns "
            "where table_catalog = current_database() group by all order by 1, 2"
        ).fetchall()
        for schema, table, columns in tables:
            conditions, parameters = [], []
            if "customer_id" in columns:
                conditions.append("customer_id in (select unnest(?::varchar[]))")
                parameters.append(sorted(person.customer_ids))
            if {"identifier_type", "identifier_value"} <= set(columns):
                conditions.append(
                    "identifier_type || '|' || identifier_value in (select unnest(?::varchar[]))"
                )
                parameters.append(named)
            if conditions:
                rows = _dicts(
                    connection,
                    f"select * from {quoted(schema)}.{quoted(table)} "
                    f"where {' or '.join(conditions)}",
                    parameters,
                )
                if rows:
                    yield f"{schema}.{table}", rows


def _sends(home: Home, person: Person) -> Iterator[dict[str, Any]]:
    if not home.ledger.exists() or home.ledger.stat().st_size == 0:
        return
    uri = f"{home.ledger.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        for customer_id in sorted(person.customer_ids):
            for row in connection.execute(_SENDS, [customer_id]):
                yield dict(row)


def _dicts(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None
) -> Rows:
    found = connection.execute(query, parameters or [])
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


# The page -------------------------------------------------------------------------------------

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { border: 1px solid #ccc; padding: .25rem .5rem; text-align: left; vertical-align: top }
th { background: #f3f3f3 } td { overflow-wrap: anywhere; max-width: 30rem }
section { overflow-x: auto } summary { cursor: pointer; font-weight: 600 }
"""


def render(held: Held, request_id: str, now: datetime) -> str:
    """One page without anything from outside it; every value is escaped."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>What is held: request {html.escape(request_id)}</title>",
        f"<style>{_STYLE}</style></head><body><h1>What is held of you</h1>",
        f"<p>Request {html.escape(request_id)}, answered {now:%Y-%m-%d %H:%M} UTC: "
        f"{held.rows:,} rows.</p>",
        "<h2>How you are known</h2>",
        _table(held.identifiers),
        "<h2>What sources told</h2>",
        *_sections(held.raw),
        "<h2>What was made of it</h2>",
        *_sections(held.models),
        "<h2>What was sent</h2>",
        _table(held.sends),
        "<h2>Left alone</h2>",
        _table(held.suppressed),
        "<h2>Rows of others in which you are named</h2>",
        _table([{"table": name, "rows": rows} for name, rows in held.named_in.items()]),
        "</body></html>",
    ]
    return "\n".join(parts)


def _sections(tables: Mapping[str, Rows]) -> Iterator[str]:
    for name, rows in tables.items():
        title = f"{html.escape(name)} ({len(rows):,})"
        yield f"<details><summary>{title}</summary><section>{_table(rows)}</section></details>"
    if not tables:
        yield "<p>Nothing.</p>"


def _table(rows: Rows) -> str:
    if not rows:
        return "<p>Nothing.</p>"
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row.get(name))}</td>" for name in names) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    return "" if value is None else html.escape(str(value))
