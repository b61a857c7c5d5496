"""`cdp plan --identity` and `--profile`: what changed rules would do, before they do it.

Identity, or the golden record, is built from the working tree's seeds, models and variables, on
the raw rows that there are and from the mapping that there is, in a scratch copy: on DuckDB a
copy of the file, on Spark schemas of a prefix of their own. What is compared is then this build's
state with the live one. Nothing of the live home is written to but its lock and the scratch
folder.
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

MODELS_ONLY = ("--exclude-resource-type", "test", "unit_test")
# Identifiers by which a customer in a sample is recognised.
NAMES = 3
# The copy, and what the build adds to it before it frees what it replaces.
ROOM = 1.5
PREFIX = "preview_"
PREVIEWED = ("merge", "split", "restore", "move", "retire", "create", "reanchor")
BEFORE, AFTER = "before", "after"

Counts = dict[str, int | float]
Samples = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Part:
    """What is previewed: the models to build, and of which tables which rows are compared.

    A copied file holds what the models read, so `select` is enough; beside a cluster's live
    schemas there is nothing, so all that they need is built.
    """

    option: str
    title: str
    select: tuple[str, ...]
    state: dict[str, tuple[str, str, str]]
    compare: Callable[[Path, int, bool], tuple[Counts, Samples]]

    @property
    def command(self) -> str:
        return f"plan {self.option}"


Progress = Callable[[str], None]


@dataclass(frozen=True)
class Preview:
    """What a build by the changed rules would do; counts of all, rows of a sample."""

    as_of_date: date
    last_build: NewestBuild
    notes: list[str]
    counts: Counts
    samples: Samples

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
    return _preview(IDENTITY, home, as_of, progress, limit, unmask, wait_seconds)


def preview_profile(
    home: Home,
    as_of: date,
    progress: Progress = lambda line: None,
    limit: int = 20,
    unmask: bool = False,
    wait_seconds: float = 0,
) -> Preview:
    """Build the golden record in a scratch copy of the home and tell which fields differ."""
    return _preview(PROFILE, home, as_of, progress, limit, unmask, wait_seconds)


def _preview(
    part: Part,
    home: Home,
    as_of: date,
    progress: Progress,
    limit: int,
    unmask: bool,
    wait_seconds: float,
) -> Preview:
    engine = engine_of(home, settle=False)
    if not home.state.exists() or (engine == "duckdb" and not home.warehouse.exists()):
        raise _no_build()
    root = home.scratch / "preview"
    scratch = Home(root / "home")
    make = _on_duckdb if engine == "duckdb" else _on_spark
    # A lock of its own: builds go on meanwhile, another preview would be in the way.
    with hold_lock(Home(root), part.command, wait_seconds, progress):
        _remove(scratch.root)
        try:
            scratch.root.mkdir(mode=0o700)
            build = make(part, home, scratch, as_of, progress, wait_seconds)
            progress("comparing")
            counts, samples = part.compare(scratch.root, limit, unmask)
        finally:
            _remove(scratch.root)
    return Preview(as_of, build, _notes(home, build, as_of), counts, samples)


def _no_build() -> CdpError:
    return CdpError("There is no finished build to compare with: `cdp run` first.")


def _remove(folder: Path) -> None:
    """Also what a preview that was killed left."""
    shutil.rmtree(folder, ignore_errors=True)


def _checked(part: Part, warehouse: Warehouse, as_of: date) -> NewestBuild:
    build = newest_build(warehouse)
    tables = {(schema, table) for schema, table, _ in part.state.values()}
    if build is None or not all(warehouse.columns(*table) for table in tables):
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
    part: Part, home: Home, scratch: Home, as_of: date, progress: Progress, wait_seconds: float
) -> NewestBuild:
    with hold_lock(home, part.command, wait_seconds, progress):
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
        build = _checked(part, copy, as_of)
        _export(part, copy, scratch.root / BEFORE)
    progress(f"building {part.title} in the copy (dbt)")
    with _environment():
        run_dbt(scratch, as_of, ["build", "--select", *part.select, *MODELS_ONLY])
    with DuckDbWarehouse(scratch.warehouse, read_only=True) as copy:
        _export(part, copy, scratch.root / AFTER, build)
    return build


def _on_spark(
    part: Part, home: Home, scratch: Home, as_of: date, progress: Progress, wait_seconds: float
) -> NewestBuild:
    """Raw rows are read where they are; history is copied, and all else built beside it."""
    from orchestration.warehouse.spark import SparkWarehouse

    live_prefix = schema_prefix()
    with hold_lock(home, part.command, wait_seconds, progress), open_warehouse(home) as live:
        _refuse_unfinished(home)
        live.recover()
        build = _checked(part, live, as_of)
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
            _export(part, live, scratch.root / BEFORE)
            with SparkWarehouse(*spark_settings(), prefix) as copy:
                for schema, table in history_tables(scratch.manifest):
                    copy_table(live, copy, schema, table)
        except BaseException:
            _drop(prefix)
            raise
    try:
        progress(f"building {part.title} beside it (dbt)")
        with _environment(CDP_SCHEMA_PREFIX=prefix):
            select = [f"+{name.removeprefix('+')}" for name in part.select]
            run_dbt(scratch, as_of, ["build", "--select", *select, *MODELS_ONLY], **variables)
        with SparkWarehouse(*spark_settings(), prefix) as copy:
            _export(part, copy, scratch.root / AFTER, build)
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


def _export(
    part: Part, warehouse: Warehouse, folder: Path, last: NewestBuild | None = None
) -> None:
    """The state as Parquet; after a build also the events that it told."""
    folder.mkdir()
    for name, (schema, table, query) in part.state.items():
        if table != "identity_events":
            place = warehouse.place(schema, table)
            warehouse.export_parquet(query.format(place), folder / f"{name}.parquet")
        elif last is not None:
            place = warehouse.place(schema, table)
            warehouse.export_parquet(query.format(place, last.number), folder / f"{name}.parquet")


# The comparison -----------------------------------------------------------------------------


@contextmanager
def _both_moments(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The exported state as tables `before_<name>` and `after_<name>`."""
    with duckdb.connect() as connection:
        for moment in (BEFORE, AFTER):
            for path in sorted((folder / moment).glob("*.parquet")):
                # Tables: the sample of names reads the map for each kind of event.
                connection.execute(
                    f"create table {moment}_{path.stem} as select * from read_parquet(?)",
                    [str(path)],
                )
        yield connection


def _compare_identity(folder: Path, limit: int, unmask: bool) -> tuple[Counts, Samples]:
    with _both_moments(folder) as connection:
        return _counts(connection), _samples(connection, limit, unmask)


def _counts(connection: duckdb.DuckDBPyConnection) -> Counts:
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


def _samples(connection: duckdb.DuckDBPyConnection, limit: int, unmask: bool) -> Samples:
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


IDENTITY = Part(
    "--identity",
    "identity",
    ("+path:models/identity",),
    {
        "registry": (
            "identity",
            "identity_registry",
            "select customer_id from {} where status = 'active'",
        ),
        "map": (
            "identity",
            "identity_map",
            "select identifier_type, identifier_value, customer_id from {} where valid_to is null",
        ),
        "quarantine": (
            "identity",
            "identity_quarantine",
            "select distinct reason, identifier_type, identifier_value from {} "
            "where released_at is null",
        ),
        "components": (
            "identity",
            "identity_components",
            "select max(component_size) as largest from {}",
        ),
        "records": (
            "identity",
            "record_customers",
            "select source, table_name, record_key, customer_id from {}",
        ),
        "events": (
            "identity",
            "identity_events",
            "select event_type, customer_id, other_customer_id, node_count, event_sequence "
            "from {} where build_number > {}",
        ),
    },
    _compare_identity,
)


# The golden record --------------------------------------------------------------------------


def _compare_profile(folder: Path, limit: int, unmask: bool) -> tuple[Counts, Samples]:
    with _both_moments(folder) as connection:
        connection.execute(_PROFILE_CHANGES)
        counts: Counts = {
            "customers": connection.execute(
                "select count(distinct customer_id) from after_golden"
            ).fetchall()[0][0],
            "customers_changed": connection.execute(
                "select count(distinct customer_id) from changes"
            ).fetchall()[0][0],
        }
        for group, changed in connection.execute(
            "select attribute_group, count(*) from changes group by 1 order by 2 desc, 1"
        ).fetchall():
            counts[group] = changed

        def rows(query: str) -> list[dict[str, Any]]:
            found = connection.execute(query, [limit])
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        hidden = ("was", "would_be")
        return counts, {
            "by source": rows(_PROFILE_SOURCES),
            "fields": [
                {
                    name: value if unmask or name not in hidden else masked(value)
                    for name, value in row.items()
                }
                for row in rows(_PROFILE_SAMPLE)
            ],
        }


_PROFILE_CHANGES = """
create table changes as
with
    old as (
        select customer_id, attribute_group, max(record_source) filter (where outcome = 'won')
            as source, string_agg(attribute_value, ', ' order by attribute_value) as value
        from before_golden group by all
    ),
    new as (
        select customer_id, attribute_group, max(record_source) filter (where outcome = 'won')
            as source, string_agg(attribute_value, ', ' order by attribute_value) as value
        from after_golden group by all
    )
select customer_id, attribute_group, old.value as was, new.value as would_be,
    old.source as was_said_by, new.source as would_be_said_by
from old full join new using (customer_id, attribute_group)
where old.value is distinct from new.value or old.source is distinct from new.source
"""
_PROFILE_SOURCES = """
select attribute_group as "group", was_said_by, would_be_said_by, count(*) as customers,
    count(*) filter (where was is distinct from would_be) as of_them_another_value
from changes group by all order by customers desc, 1, 2, 3 limit ?
"""
# Some of each group, rather than all of the first.
_PROFILE_SAMPLE = """
select customer_id, attribute_group as "group", was, would_be, was_said_by, would_be_said_by
from changes
order by row_number() over (partition by attribute_group order by customer_id), attribute_group
limit ?
"""

PROFILE = Part(
    "--profile",
    "the golden record",
    (
        "survivorship_rules",
        "survivorship_strategies",
        "blocked_attribute_values",
        "int_identity__contacts_of_sources",
        "int_profile__contact_records",
        "int_profile__attribute_values",
        "customer_attributes",
    ),
    {
        "golden": (
            "profile",
            "customer_attributes",
            "select customer_id, attribute_group, attribute_value, record_source, outcome "
            "from {} where outcome in ('won', 'kept')",
        ),
    },
    _compare_profile,
)
