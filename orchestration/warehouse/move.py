"""Move a home to another engine: what landed, what history knows, and every key.

Only raw tables and history tables are copied; all else is built from them. The salt and the
registry are among them, so the first build on the new engine changes no customer_id.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestration.build_state import is_unfinished
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.landing.declarations import Source
from orchestration.landing.store import LANDING, PAIRS_PLACE, rejected_name
from orchestration.lock import hold_lock
from orchestration.privacy.suppressions import PLACE as SUPPRESSIONS
from orchestration.warehouse.base import Warehouse
from orchestration.warehouse.connect import open_warehouse, settled_engine
from orchestration.warehouse.history import INSTALLATION, copy_table, history_tables

# What a home keeps besides its warehouse, its runs and what is made anew by a build.
FILES = ("state", "archive", "truth", "outbox", "connections.yml", "sources.yml")
ENGINE = "engine"
BUILD = "build.json"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class MovedTable:
    """A table that was copied, and its rows."""

    schema: str
    table: str
    rows: int


def move_home(
    home: Home,
    target: Home,
    engine: str,
    sources: Mapping[str, Source],
    manifest: Path,
    progress: Progress = lambda line: None,
) -> list[MovedTable]:
    """Copy a home into an empty folder for another engine; the old one is left as it is."""
    if target.root.exists() and any(target.root.iterdir()):
        raise CdpError(f"{target.root} is not empty; give a new folder.")
    tables = list(kept_tables(sources, manifest))
    with hold_lock(home, "move"):
        if is_unfinished(home):
            raise CdpError("The last build did not finish; `cdp run` first, then move.")
        target.ensure()
        with (
            open_warehouse(home, read_only=True, engine=settled_engine(home)) as old,
            open_warehouse(target, engine=engine) as new,
        ):
            old.recover()
            new.recover()
            _refuse_taken(new, tables)
            moved = []
            for schema, table in tables:
                rows = copy_table(old, new, schema, table)
                moved.append(MovedTable(schema, table, rows))
                progress(f"{schema}.{table}: {rows:,} rows")
        _copy_files(home, target)
        (target.state / ENGINE).write_text(engine)
    return moved


def _refuse_taken(warehouse: Warehouse, tables: Iterable[tuple[str, str]]) -> None:
    """Nothing is copied onto rows, be they an installation's or a move's that was cut short."""
    for schema, table in tables:
        if warehouse.columns(schema, table):
            place = warehouse.place(schema, table)
            if warehouse.rows(f"select 1 from {place} limit 1"):
                raise CdpError(
                    f"{place} holds rows already, of an installation or of a move that was cut "
                    "short. Give another storage or CDP_SCHEMA_PREFIX, or drop those schemas."
                )


def kept_tables(sources: Mapping[str, Source], manifest: Path) -> Iterator[tuple[str, str]]:
    """Raw tables and history tables; the salt last, so that a move cut short has none."""
    for source in sources.values():
        for table in source.tables:
            yield source.schema, table
            yield source.schema, rejected_name(table)
    yield from history_tables(manifest)
    yield LANDING, "loads"
    yield LANDING, "current_loads"
    yield PAIRS_PLACE
    yield SUPPRESSIONS
    yield INSTALLATION


def _copy_files(home: Home, target: Home) -> None:
    for name in FILES:
        path = home.root / name
        if path.is_dir():
            shutil.copytree(path, target.root / name, dirs_exist_ok=True)
        elif path.exists():
            shutil.copy2(path, target.root / name)
    # The new home's first build is still to come.
    (target.state / BUILD).unlink(missing_ok=True)
