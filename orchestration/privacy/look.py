"""Looks for a person once more when an erasure is done: every table and every file of the home."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import duckdb

from orchestration.home import PROJECT, Home
from orchestration.landing.declarations import Source
from orchestration.privacy.engines import open_reading, warehouse_file
from orchestration.privacy.person import Person
from orchestration.privacy.raw import RawFinder, relation
from orchestration.privacy.rows import Needles
from orchestration.privacy.texts import is_sqlite, text_of
from orchestration.privacy.warehouse import Counts
from orchestration.warehouse.base import quoted

# Looked into table by table, or row by row, or not ours to change.
DATABASES = (".duckdb", ".wal")
# In which people write identifiers.
SEEDS = ("identity_overrides.csv", "blocked_identifiers.csv")


def look_again(
    home: Home, declarations: Mapping[str, Source], person: Person, needles: Needles
) -> list[Counts]:
    """What still names the person; nothing, once an erasure is whole."""
    left: list[Counts] = []
    with warehouse_file(home, with_models=True) as warehouse:
        left += _in_raw(home, warehouse, declarations, person)
        left += _in_duckdb(warehouse, person, needles)
    for path in (home.private_file, home.cdp_file, home.ops_file):
        if path.exists():
            left += _in_duckdb(path, person, needles)
    left += _in_files(home, needles)
    left += _in_seeds(person)
    return left


def _in_raw(
    home: Home, warehouse: Path, declarations: Mapping[str, Source], person: Person
) -> Iterator[Counts]:
    with open_reading(home, warehouse) as connection:
        raw = RawFinder.on(connection, declarations)
        finder = raw.finder(person)
        for table, _ in raw.tables():
            if marks := finder.marks(table, relation(table)):
                yield Counts(f"{table.schema}.{table.name}", left=len(marks.touched))


def _in_duckdb(path: Path, person: Person, needles: Needles) -> Iterator[Counts]:
    """Rows of any table in which a text names the person, or a pair of columns does."""
    with duckdb.connect() as connection:
        connection.execute("attach '" + str(path).replace("'", "''") + "' as looked (read_only)")
        tables = connection.execute(
            """
            select
                tables.table_schema, tables.table_name,
                list(columns.column_name) filter (where columns.data_type = 'VARCHAR'),
                list(columns.column_name)
            from information_schema.tables as tables
            inner join information_schema.columns as columns using
                (table_catalog, table_schema, table_name)
            where tables.table_catalog = 'looked' and tables.table_type = 'BASE TABLE'
            group by all
            """
        ).fetchall()
        named = [f"{kind}|{value}" for kind, value in sorted(person.identifiers)]
        for schema, table, texts, columns in tables:
            # Seeds are files of the project, which are looked at as such.
            if not texts or schema == "seeds":
                continue
            place = f"looked.{quoted(schema)}.{quoted(table)}"
            text = f"concat_ws(chr(31), {', '.join(map(quoted, texts))})"
            rows = connection.execute(
                f"select {text} from {place} where {needles.condition(text)}"
            ).fetchall()
            left = sum(1 for (found,) in rows if needles.found_in(found))
            if {"identifier_type", "identifier_value"} <= set(columns):
                counted = connection.execute(
                    f"select count(*) from {place} where identifier_type || '|' || "
                    "identifier_value in (select unnest($1::varchar[]))",
                    [named],
                ).fetchone()
                left = max(left, int(counted[0]) if counted else 0)
            if left:
                yield Counts(f"{path.name}: {schema}.{table}", left=left)


def _in_files(home: Home, needles: Needles) -> Iterator[Counts]:
    counted: dict[str, int] = {}
    for path in sorted(home.root.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.name.endswith(DATABASES):
            continue
        if is_sqlite(path):
            is_left = _is_in_sqlite(path, needles)
        else:
            is_left = bool(needles.found_in(text_of(path)))
        if is_left:
            part = path.relative_to(home.root).parts[0]
            counted[part] = counted.get(part, 0) + 1
    for part, number in counted.items():
        yield Counts(f"files below {part}", left=number)


def _is_in_sqlite(path: Path, needles: Needles) -> bool:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        text = "\n".join(connection.iterdump())
    return bool(needles.found_in(text))


def _in_seeds(person: Person) -> Iterator[Counts]:
    """Rules that people edit may name a person; they are the project's, to be changed by hand."""
    values = {value for _, value in person.identifiers}
    for path in (PROJECT / "seeds" / name for name in SEEDS):
        words = set(path.read_text(encoding="utf-8").replace("\n", ",").split(","))
        if count := len(values & words):
            yield Counts(
                f"seeds/{path.name}", left=count, note="edit the seed: it names the person"
            )
