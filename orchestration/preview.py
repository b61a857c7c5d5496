"""`cdp plan --identity`: what changed rules would do to customers, before they do it.

Identity is built from the working tree's seeds, models and variables, on the raw rows that there
are and from the mapping that there is, in a scratch copy: on DuckDB a copy of the file, on Spark
schemas of a prefix of their own. What is compared is then this build's state with the live one.
Nothing of the live home is written to but its lock and the scratch folder.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from orchestration.build_state import is_unfinished, last_build
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.landing.files import pending_files
from orchestration.lock import hold_lock
from orchestration.lookup import masked
from orchestration.project import run_dbt
from orchestration.warehouse.base import Warehouse
from orchestration.warehouse.connect import (
    engine_of,
    installation_of,
    open_warehouse,
    schema_prefix,
    spark_settings,
)
from orchestration.warehouse.duckdb import DuckDbWarehouse
from orchestration.warehouse.history import (
    NewestBuild,
    copy_table,
    history_tables,
    newest_build,
)

COMMAND = "plan --identity"
MODELS = (
    *("--select", "+path:models/identity"),
    *("--exclude-resource-type", "test", "unit_test"),
)
# Identifiers by which a customer in a sample is recognised.
NAMES = 3
# The copy, and what the build adds to it before it frees what it replaces.
ROOM = 1.5
PREFIX = "preview_"
PREVIEWED = ("merge", "split", "restore", "move", "retire", "create", "reanchor")
# What is compared: of each the rows that are so now.
STATE = {
    "registry": "select customer_id from {} where status = 'active'",
    "map": "select identifier_type, identifier_value, customer_id from {} where valid_to is null",
    "quarantine": (
        "select distinct reason, identifier_type, identifier_value from {} "
        "where released_at is null"
    ),
    "components": "select max(component_size) as largest from {}",
    "records": "select source, table_name, record_key, customer_id from {}",
}
TABLES = {
    "registry": "identity_registry",
    "map": "identity_map",
    "quarantine": "identity_quarantine",
    "components": "identity_components",
    "records": "record_customers",
}
BEFORE, AFTER = "before", "after"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Preview:
    """What a build by the changed rules would do; counts of all, rows of a sample."""

    as_of_date: date
    last_build: NewestBuild
    notes: list[str]
    counts: dict[str, int | float]
    samples: dict[str, list[dict[str, Any]]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "as_of_date": self.as_of_date,
            "last_build": vars(self.last_build),
            "notes": self.notes,
            "counts": self.counts,
            "samples": self.samples,
        }


def preview_identity(
    home: Home,
    as_of: date,
    progress: Progress = lambda line: None,
    limit: int = 20,
    unmask: bool = False,
    wait_seconds: float = 0,
) -> Preview:
    """Build identity in a scratch copy of the home and tell what differs."""
    engine = engine_of(home, settle=False)
    if not home.state.exists() or (engine == "duckdb" and not home.warehouse.exists()):
        raise _no_build()
    root = home.scratch / "preview"
    scratch = Home(root / "home")
    make = _on_duckdb if engine == "duckdb" else _on_spark
    # A lock of its own: builds go on meanwhile, another preview would be in the way.
    with hold_lock(Home(root), COMMAND, wait_seconds, progress):
        _remove(scratch.root)
        try:
            scratch.root.mkdir(mode=0o700)
            build = make(home, scratch, as_of, progress, wait_seconds)
            progress("comparing")
            counts, samples = _compare(scratch.root, limit, unmask)
        finally:
            _remove(scratch.root)
    return Preview(as_of, build, _notes(home, build, as_of), counts, samples)


def _no_build() -> CdpError:
    return CdpError("There is no finished build to compare with: `cdp run` first.")


def _remove(folder: Path) -> None:
    """Also what a preview that was killed left."""
    shutil.rmtree(folder, ignore_errors=True)


def _checked(home: Home, warehouse: Warehouse, as_of: date) -> NewestBuild:
    build = newest_build(warehouse)
    if build is None or not warehouse.columns("identity", "record_customers"):
        raise _no_build()
    if as_of < build.as_of:
        raise CdpError(
            f"The last build was as of {build.as_of}, and no build may go back to {as_of}: set "
            f"CDP_AS_OF_DATE to {build.as_of} or later."
        )
    return build


def _refuse_unfinished(home: Home) -> None:
    if is_unfinished(home):
        raise CdpError(
            "The last build did not finish, so there is nothing whole to compare with: `cdp run` "
            "with the rules as they were, then plan."
        )


def _notes(home: Home, build: NewestBuild, as_of: date) -> list[str]:
    """What besides the rules has a part in the preview, or none."""
    notes = []
    if as_of != build.as_of:
        notes.append(
            f"The last build was as of {build.as_of}: identifiers that expire by {as_of} are part "
            "of what is told."
        )
    if last_build(home) is None:
        notes.append("Rows that landed since the last build are part of what is told.")
    waiting = len(pending_files(home))
    if waiting:
        notes.append(f"{waiting} files wait in the landing folder and are no part of it.")
    return notes


# The scratch copy ---------------------------------------------------------------------------


def _on_duckdb(
    home: Home, scratch: Home, as_of: date, progress: Progress, wait_seconds: float
) -> NewestBuild:
    with hold_lock(home, COMMAND, wait_seconds, progress):
        _refuse_unfinished(home)
        size = home.warehouse.stat().st_size
        free = shutil.disk_usage(scratch.root).free
        if free < ROOM * size:
            raise CdpError(
                f"A preview needs {ROOM * size / 1e9:.1f} GB for a copy of the warehouse, and "
                f"{free / 1e9:.1f} GB are free."
            )
        progress(f"copying the warehouse ({size / 1e6:,.0f} MB)")
        log = home.warehouse.with_name(home.warehouse.name + ".wal")
        for path in (home.warehouse, log):
            if path.exists():
                shutil.copyfile(path, scratch.root / path.name)
        _copy_settings(home, scratch)
    with DuckDbWarehouse(scratch.warehouse) as copy:
        build = _checked(home, copy, as_of)
        _export(copy, scratch.root / BEFORE)
    progress("building identity in the copy (dbt)")
    with _environment():
        run_dbt(scratch, as_of, ["build", *MODELS])
    with DuckDbWarehouse(scratch.warehouse, read_only=True) as copy:
        _export(copy, scratch.root / AFTER, build)
    return build


def _on_spark(
    home: Home, scratch: Home, as_of: date, progress: Progress, wait_seconds: float
) -> NewestBuild:
    """Raw rows are read where they are; history is copied, and all else built beside it."""
    from orchestration.warehouse.spark import SparkWarehouse

    live_prefix = schema_prefix()
    with hold_lock(home, COMMAND, wait_seconds, progress), open_warehouse(home) as live:
        _refuse_unfinished(home)
        live.recover()
        build = _checked(home, live, as_of)
        # This installation's alone: another's may be on the same cluster.
        prefix = f"{live_prefix}{PREFIX}{installation_of(live)}_"
        variables = {"raw_schema_prefix": live_prefix}
        _copy_settings(home, scratch)
        with SparkWarehouse(*spark_settings(), prefix) as copy:
            copy.drop_all()
        try:
            with _environment(CDP_SCHEMA_PREFIX=prefix):
                run_dbt(scratch, as_of, ["parse"], **variables)
            progress("copying the history")
            _export(live, scratch.root / BEFORE)
            with SparkWarehouse(*spark_settings(), prefix) as copy:
                for schema, table in history_tables(scratch.manifest):
                    copy_table(live, copy, schema, table)
        except BaseException:
            _drop(prefix)
            raise
    try:
        progress("building identity beside it (dbt)")
        with _environment(CDP_SCHEMA_PREFIX=prefix):
            run_dbt(scratch, as_of, ["build", *MODELS], **variables)
        with SparkWarehouse(*spark_settings(), prefix) as copy:
            _export(copy, scratch.root / AFTER, build)
    finally:
        _drop(prefix)
    return build


def _drop(prefix: str) -> None:
    from orchestration.warehouse.spark import SparkWarehouse

    with SparkWarehouse(*spark_settings(), prefix) as copy:
        copy.drop_all()


def _copy_settings(home: Home, scratch: Home) -> None:
    settings = home.root / "sources.yml"
    if settings.exists():
        shutil.copyfile(settings, scratch.root / settings.name)


@contextmanager
def _environment(**given: str) -> Iterator[None]:
    """The environment for dbt in the copy; afterwards it is the live home's again."""
    before = dict(os.environ)
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _export(warehouse: Warehouse, folder: Path, last: NewestBuild | None = None) -> None:
    """The state as Parquet; after a build also the events that it told."""
    folder.mkdir()
    for name, query in STATE.items():
        place = warehouse.place("identity", TABLES[name])
        warehouse.export_parquet(query.format(place), folder / f"{name}.parquet")
    if last is not None:
        place = warehouse.place("identity", "identity_events")
        warehouse.export_parquet(
            "select event_type, customer_id, other_customer_id, node_count, event_sequence "
            f"from {place} where build_number > {last.number}",
            folder / "events.parquet",
        )


# The comparison -----------------------------------------------------------------------------


def _compare(
    folder: Path, limit: int, unmask: bool
) -> tuple[dict[str, int | float], dict[str, list[dict[str, Any]]]]:
    with duckdb.connect() as connection:
        for moment in (BEFORE, AFTER):
            for path in sorted((folder / moment).glob("*.parquet")):
                # Tables: the sample of names reads the map for each kind of event.
                connection.execute(
                    f"create table {moment}_{path.stem} as select * from read_parquet(?)",
                    [str(path)],
                )
        return _counts(connection), _samples(connection, limit, unmask)


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int | float]:
    def number(query: str) -> int:
        found = connection.execute(query).fetchone()
        return int(found[0] or 0) if found else 0

    told = dict(
        connection.execute(
            "select event_type, count(*) from after_events group by event_type"
        ).fetchall()
    )
    compared = number(f"select count(*) from before_records join after_records using {_RECORD}")
    renumbered = number(
        f"select count(*) from before_records as old join after_records as new using {_RECORD} "
        "where old.customer_id <> new.customer_id"
    )
    return {
        "customers_before": number("select count(*) from before_registry"),
        "customers_after": number("select count(*) from after_registry"),
        "largest_before": number("select largest from before_components"),
        "largest_after": number("select largest from after_components"),
        **{event: told.get(event, 0) for event in PREVIEWED},
        "records_compared": compared,
        "records_renumbered": renumbered,
        "renumbered_share": round(renumbered / compared, 6) if compared else 0.0,
        "records_without_customer": number(
            f"select count(*) from before_records anti join after_records using {_RECORD}"
        ),
        "records_with_new_customer": number(
            f"select count(*) from after_records anti join before_records using {_RECORD}"
        ),
        "quarantined": number(_COUNT_CROSSED.format(one=AFTER, other=BEFORE)),
        "released": number(_COUNT_CROSSED.format(one=BEFORE, other=AFTER)),
    }


_RECORD = "(source, table_name, record_key)"

# One that is refused for another reason than before has neither come nor gone.
_COUNT_CROSSED = """
    select count(distinct (identifier_type, identifier_value))
    from {one}_quarantine anti join {other}_quarantine using (identifier_type, identifier_value)
"""

# For each customer some identifiers to recognise it by.
_NAMES = """
    select
        customer_id,
        list(
            {{'type': identifier_type, 'value': identifier_value}}
            order by identifier_type, identifier_value
        )[1:{names}] as known_by
    from {table}
    group by customer_id
"""


def _samples(
    connection: duckdb.DuckDBPyConnection, limit: int, unmask: bool
) -> dict[str, list[dict[str, Any]]]:
    for moment in (BEFORE, AFTER):
        names = _NAMES.format(names=NAMES, table=f"{moment}_map")
        connection.execute(f"create view {moment}_names as {names}")

    def rows(query: str) -> list[dict[str, Any]]:
        found = connection.execute(query, [limit])
        columns = [column[0] for column in found.description or []]
        return [
            {name: _shown(value, unmask) for name, value in zip(columns, row, strict=True)}
            for row in found.fetchall()
        ]

    return {
        "merges": rows(_MERGES),
        "splits": rows(_TAKEN_APART.format(event="split")),
        "restores": rows(_TAKEN_APART.format(event="restore")),
        "moves": rows(_MOVES),
        "retired": rows(_RETIRED),
        "quarantined": rows(_CROSSED.format(one=AFTER, other=BEFORE)),
        "released": rows(_CROSSED.format(one=BEFORE, other=AFTER)),
    }


def _shown(value: Any, unmask: bool) -> Any:
    """Identifiers as people read them: the type, and the value unless it is hidden."""
    if isinstance(value, list):
        return [_shown(each, unmask) for each in value]
    if isinstance(value, dict):
        return f"{value['type']} {value['value'] if unmask else masked(value['value'])}"
    return value


# The largest first: those are looked at.
_MERGES = """
    select
        merges.survivor,
        merges.merged,
        survivors.known_by as survivor_known_by,
        merges.known_by as merged_known_by
    from (
        select
            events.other_customer_id as survivor,
            list(events.customer_id order by events.customer_id) as merged,
            flatten(list(names.known_by order by events.customer_id)) as known_by
        from after_events as events
        left join before_names as names on events.customer_id = names.customer_id
        where events.event_type = 'merge'
        group by events.other_customer_id
    ) as merges
    left join before_names as survivors on merges.survivor = survivors.customer_id
    order by len(merges.merged) desc, merges.survivor
    limit ?
"""

_TAKEN_APART = """
    select
        events.other_customer_id as customer,
        events.customer_id as apart,
        events.node_count as identifiers,
        kept.known_by as customer_known_by,
        names.known_by as apart_known_by
    from after_events as events
    left join after_names as names on events.customer_id = names.customer_id
    left join after_names as kept on events.other_customer_id = kept.customer_id
    where events.event_type = '{event}'
    order by events.node_count desc, events.customer_id
    limit ?
"""

_MOVES = """
    select
        events.other_customer_id as from_customer,
        events.customer_id as to_customer,
        events.node_count as identifiers,
        list(
            {'type': new.identifier_type, 'value': new.identifier_value}
            order by new.identifier_type, new.identifier_value
        )[1:3] as moved
    from after_events as events
    left join before_map as old on events.other_customer_id = old.customer_id
    left join after_map as new
        on events.customer_id = new.customer_id
        and old.identifier_type = new.identifier_type
        and old.identifier_value = new.identifier_value
    where events.event_type = 'move' and new.customer_id is not null
    group by all
    order by events.node_count desc, events.customer_id, events.other_customer_id
    limit ?
"""

_RETIRED = """
    select
        events.customer_id as customer,
        names.known_by
    from after_events as events
    left join before_names as names on events.customer_id = names.customer_id
    where events.event_type = 'retire'
    order by events.customer_id
    limit ?
"""

_CROSSED = """
    select
        string_agg(reason, ', ' order by reason) as reason,
        {{'type': identifier_type, 'value': identifier_value}} as identifier
    from {one}_quarantine anti join {other}_quarantine using (identifier_type, identifier_value)
    group by identifier_type, identifier_value
    order by reason, identifier_type, identifier_value
    limit ?
"""
