"""Backups without a person: those this home made are rewritten, and an older one forgets again."""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from orchestration.backup import LEDGER, SavedTable, known_backups, rewrite_backup
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.privacy.person import CUSTOMER, Person
from orchestration.privacy.tombstones import Tombstones
from orchestration.privacy.warehouse import Counts, clean_history
from orchestration.syncs.ledger_erase import erase_people
from orchestration.warehouse.base import quoted


def clean_backups(
    home: Home, person: Person, request_id: str, folders: Iterable[Path]
) -> list[Counts]:
    """Rewrite every backup of this home: those it knows of, and those in the folders given."""
    files = {path.resolve() for path in known_backups(home)}
    for folder in folders:
        if not folder.is_dir():
            raise CdpError(f"There is no folder {folder} with backups.")
        files |= {path.resolve() for path in folder.glob("*.zip")}
    found = []
    for file in sorted(files):
        counts = Counts(f"backup/{file.name}")
        try:
            rewrite_backup(
                home,
                file,
                functools.partial(_change, counts=counts, person=person, request_id=request_id),
            )
        except CdpError as error:
            counts.note = str(error)
        found.append(counts)
    return [counts for counts in found if counts.found or counts.note]


def _change(
    folder: Path, tables: list[SavedTable], counts: Counts, person: Person, request_id: str
) -> list[SavedTable] | None:
    changed, cleaned = _clean_tables(folder, tables, person, request_id)
    deliveries, changes = erase_people(folder / LEDGER, person.customer_ids, datetime.now(UTC))
    counts.removed = sum(each.removed for each in cleaned) + deliveries
    counts.changed = sum(each.changed for each in cleaned) + changes
    counts.found = counts.removed + counts.changed
    return changed if counts.found else None


def without_erased(home: Home, folder: Path, tables: list[SavedTable]) -> list[SavedTable]:
    """The tables of a backup that is being restored, without people erased since it was made."""
    tombstones = Tombstones(home)
    identity_map = next((each for each in tables if each.name == "identity_map"), None)
    if not tombstones or identity_map is None:
        return tables
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select distinct identifier_type, identifier_value, node_key, customer_id "
            "from read_parquet(?)",
            [str(folder / identity_map.member)],
        ).fetchall()
    erased = [row for row in rows if tombstones.matches(row[0], row[1])]
    ids = {row[3] for row in rows if tombstones.matches(CUSTOMER, row[3])}
    person = Person(
        frozenset((row[0], row[1]) for row in erased),
        frozenset(ids),
        frozenset(row[2] for row in erased),
    )
    if not erased and not ids:
        return tables
    erase_people(folder / LEDGER, ids, datetime.now(UTC))
    return _clean_tables(folder, tables, person, "restore")[0]


def _clean_tables(
    folder: Path, tables: list[SavedTable], person: Person, request_id: str
) -> tuple[list[SavedTable], list[Counts]]:
    """Write a backup's tables anew without the person."""
    places = [(table.layer, table.name) for table in tables]
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("attach ':memory:' as old; attach ':memory:' as fresh")
        for schema in sorted({layer for layer, _ in places}):
            connection.execute(f"create schema old.{quoted(schema)}")
            connection.execute(f"create schema fresh.{quoted(schema)}")
        for table in tables:
            connection.execute(
                f"create table old.{quoted(table.layer)}.{quoted(table.name)} as "
                "select * from read_parquet(?)",
                [str(folder / table.member)],
            )
        cleaned = clean_history(connection, person, places, request_id)
        changed = []
        for table in tables:
            fresh = f"fresh.{quoted(table.layer)}.{quoted(table.name)}"
            target = str(folder / table.member).replace("'", "''")
            connection.execute(f"copy {fresh} to '{target}' (format parquet)")
            row = connection.execute(f"select count(*) from {fresh}").fetchone()
            changed.append(table.model_copy(update={"rows": int(row[0]) if row else 0}))
    return changed, cleaned
