"""A warehouse without a person: what is kept is copied into a new DuckDB file.

A deleted row's bytes stay in a DuckDB file, so rows are not deleted: raw tables, other tools'
schemas and the history that no build can make again are copied without the person, the new file
takes the old one's place in one step, and the next build makes all else. Of a warehouse on Spark
the changed tables take the place of the cluster's.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.destinations.base import reach
from orchestration.home import Home
from orchestration.landing.checking import Checker, Load
from orchestration.landing.declarations import Source, Table
from orchestration.landing.readers import Chunk
from orchestration.landing.store import LANDING, PAIRS_PLACE, rejected_name
from orchestration.privacy.engines import (
    STATE_SCHEMAS,
    Place,
    open_reading,
    put_back,
    warehouse_file,
)
from orchestration.privacy.person import Person
from orchestration.privacy.raw import RawFinder, chosen, relation
from orchestration.privacy.rows import Marks, changed_row
from orchestration.privacy.suppressions import PLACE as SUPPRESSIONS
from orchestration.publish.publish import built_schemas
from orchestration.warehouse.base import quoted

LOADS: Place = (LANDING, "loads")


@dataclass
class Counts:
    """What an erasure found and removed in one place; `left` is counted at its end."""

    place: str
    found: int = 0
    removed: int = 0
    changed: int = 0
    left: int = 0
    note: str = ""


@dataclass
class _Copy:
    """One copy in the making: what came out of each load, for the loader's books."""

    connection: duckdb.DuckDBPyConnection
    person: Person
    request_id: str
    raw: RawFinder | None = None
    counts: dict[str, Counts] = field(default_factory=dict)
    good: dict[int, int] = field(default_factory=dict)
    rejected: dict[int, int] = field(default_factory=dict)
    # Tables of which something went, or that say so.
    changed: list[Place] = field(default_factory=list)

    def count(self, place: Place, removed: int, changed: int = 0) -> None:
        if removed or changed:
            name = ".".join(place)
            self.counts[name] = Counts(name, removed + changed, removed, changed)
            if place not in HISTORY:
                self.changed.append(place)


def clean_warehouse(
    home: Home,
    declarations: Mapping[str, Source],
    person: Person,
    history: Iterable[Place],
    request_id: str,
    note: Callable[[list[Counts]], None],
) -> None:
    """Put a warehouse without the person in the place of the home's, noting first what was found.

    Killed before the swap it has changed nothing, and after it there is nothing to find.
    """
    with warehouse_file(home) as path:
        fresh = path.with_name(f".{path.name}.erasing")
        with open_reading(home, path) as connection:
            copy = _Copy(connection, person, request_id, RawFinder.on(connection, declarations))
            _copy_all(home, copy, fresh, declarations, set(history))
        note(list(copy.counts.values()))
        reach("erase_before_swap")
        if path == home.warehouse:
            with fresh.open("rb+") as file:
                os.fsync(file.fileno())
            fresh.chmod(0o600)
            # What stands in the old file's log belongs to no other.
            _log(path).unlink(missing_ok=True)
            fresh.replace(path)
        else:
            put_back(home, fresh, copy.changed)
    reach("erase_after_swap")


def _copy_all(
    home: Home,
    copy: _Copy,
    fresh: Path,
    declarations: Mapping[str, Source],
    history: set[Place],
) -> None:
    """Copy what is kept of `old` into a new file, and let go of both."""
    connection = copy.connection
    for path in (fresh, _log(fresh)):
        path.unlink(missing_ok=True)
    connection.execute("attach '" + str(fresh).replace("'", "''") + "' as fresh")
    declared = {
        (table.schema, table.name): table
        for source in declarations.values()
        for table in source.tables.values()
    }
    rejected = {(table.schema, rejected_name(table.name)): table for table in declared.values()}
    places = _kept_places(connection, home, history)
    for schema in sorted({schema for schema, _ in places}):
        connection.execute(f"create schema if not exists fresh.{quoted(schema)}")
    for place in places:
        if place in declared:
            _copy_raw(copy, declared[place])
        elif place in rejected:
            _copy_rejected(copy, rejected[place])
        elif place == PAIRS_PLACE:
            _copy_without(copy, place, _either_node())
        elif place == SUPPRESSIONS:
            _copy_without(copy, place, _contact_point())
        elif place in HISTORY:
            HISTORY[place](copy)
            copy.changed.append(place)
        elif place != LOADS:
            _copy_without(copy, place, "false")
    if LOADS in places:
        _copy_loads(copy)
        copy.changed.append(LOADS)
    connection.execute("checkpoint fresh; detach fresh; detach old")


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _kept_places(
    connection: duckdb.DuckDBPyConnection, home: Home, history: set[Place]
) -> list[Place]:
    """Tables that no build makes: all but those of the layers, and the layers' history."""
    built = {*built_schemas(home.manifest), *STATE_SCHEMAS}
    rows = connection.execute(
        "select table_schema, table_name from information_schema.tables "
        "where table_catalog = 'old' and table_type = 'BASE TABLE' order by 1, 2"
    ).fetchall()
    return [(row[0], row[1]) for row in rows if row[0] not in built or (row[0], row[1]) in history]


def _named(place: Place, catalog: str) -> str:
    return f"{catalog}.{quoted(place[0])}.{quoted(place[1])}"


def _copy_without(copy: _Copy, place: Place, condition: str, replaced: str = "") -> int:
    """Copy the rows for which a condition does not hold; gives how many are left out."""
    parameters = _parameters(copy.person, condition + replaced)
    copy.connection.execute(
        f"create table {_named(place, 'fresh')} as "
        f"select *{replaced} from {_named(place, 'old')} where not coalesce({condition}, false)",
        parameters,
    )
    removed = _size(copy, place, "old") - _size(copy, place, "fresh")
    copy.count(place, removed)
    return removed


def _parameters(person: Person, statement: str) -> dict[str, Any]:
    """The person's values that a statement asks for by name."""
    given = {
        "nodes": sorted(person.node_keys),
        "customers": sorted(person.customer_ids),
        "named": [f"{kind}|{value}" for kind, value in sorted(person.identifiers)],
    }
    return {name: values for name, values in given.items() if f"${name}" in statement}


def _size(copy: _Copy, place: Place, catalog: str) -> int:
    row = copy.connection.execute(f"select count(*) from {_named(place, catalog)}").fetchone()
    return int(row[0]) if row else 0


# Raw tables -----------------------------------------------------------------------------------


def _copy_raw(copy: _Copy, table: Table) -> None:
    assert copy.raw is not None
    marks = copy.raw.finder(copy.person).marks(table, relation(table))
    place = (table.schema, table.name)
    fresh = _named(place, "fresh")
    with chosen(copy.connection, marks.touched):
        copy.connection.execute(
            f"create table {fresh} as select * exclude (row_id) from {relation(table)} "
            "anti join privacy_chosen using (row_id)"
        )
    with chosen(copy.connection, marks.dropped):
        _count_loads(copy, table, copy.good)
    _append_changed(copy, table, marks)
    copy.count(place, len(marks.dropped), len(marks.changed))


def _count_loads(copy: _Copy, table: Table, counted: dict[int, int]) -> None:
    rows = copy.connection.execute(
        f"select _load_id, count(*) from {relation(table)} semi join privacy_chosen "
        "using (row_id) group by 1"
    ).fetchall()
    for load_id, count in rows:
        counted[load_id] = counted.get(load_id, 0) + count


def _append_changed(copy: _Copy, table: Table, marks: Marks) -> None:
    """Rows that stay without what was the person's, checked and hashed as if they landed so."""
    if not marks.changed:
        return
    names = [column.name for column in table.columns]
    texts = ", ".join(f"cast({quoted(name)} as varchar) as {quoted(name)}" for name in names)
    added = "_extra, _row, _load_id, _file, _loaded_at, _landed_as_of, row_id"
    with chosen(copy.connection, marks.changed):
        rows = copy.connection.execute(
            f"select {texts}, {added} from {relation(table)} semi join privacy_chosen "
            "using (row_id) order by _load_id, _row"
        ).fetchall()
    with Checker(table) as checker:
        for row in rows:
            values = dict(zip(names, row, strict=False))
            extra, number, load_id, file, loaded_at, as_of, row_id = row[len(names) :]
            changed = changed_row(marks, row_id, {**values, "_extra": extra})
            extra = changed.pop("_extra")
            columns: dict[str, Sequence[str | None]] = {
                name: [text] for name, text in changed.items()
            }
            chunk = Chunk(columns, [number], [extra], lambda _: "")
            checked, _ = checker.check([(Load(load_id, file, loaded_at, as_of), chunk)])
            if checked.good.num_rows == 0:
                # It no longer is what was declared: a row that cannot stay without the person.
                copy.good[load_id] = copy.good.get(load_id, 0) + 1
                continue
            copy.connection.register("privacy_changed", checked.good)
            copy.connection.execute(
                f"insert into {_named((table.schema, table.name), 'fresh')} by name "
                "select * from privacy_changed"
            )
            copy.connection.unregister("privacy_changed")


def _copy_rejected(copy: _Copy, table: Table) -> None:
    assert copy.raw is not None
    place = (table.schema, rejected_name(table.name))
    found = copy.raw.rejected(copy.person, table)
    with chosen(copy.connection, found):
        old = f"(select *, rowid as row_id from {_named(place, 'old')})"
        copy.connection.execute(
            f"create table {_named(place, 'fresh')} as select * exclude (row_id) from {old} "
            "anti join privacy_chosen using (row_id)"
        )
        rows = copy.connection.execute(
            f"select _load_id, count(*) from {old} semi join privacy_chosen "
            "using (row_id) group by 1"
        ).fetchall()
    for load_id, count in rows:
        copy.rejected[load_id] = copy.rejected.get(load_id, 0) + count
    copy.count(place, len(found))


def _copy_loads(copy: _Copy) -> None:
    """The books add up after an erasure too: what went is counted as suppressed."""
    loads = sorted(copy.good.keys() | copy.rejected.keys())
    gone = pa.table(
        {
            "load_id": pa.array(loads, pa.int64()),
            "good": pa.array([copy.good.get(load_id, 0) for load_id in loads], pa.int64()),
            "bad": pa.array([copy.rejected.get(load_id, 0) for load_id in loads], pa.int64()),
        }
    )
    columns = [
        row[0] for row in copy.connection.execute(f"describe {_named(LOADS, 'old')}").fetchall()
    ]
    suppressed = "coalesce(suppressed_count, 0)" if "suppressed_count" in columns else "0"
    rest = ", ".join(
        f"loads.{name}"
        for name in columns
        if name not in ("loaded_count", "duplicate_count", "rejected_count", "suppressed_count")
    )
    copy.connection.register("privacy_gone", gone)
    # Of a load's rows the first are counted as loaded, and repeated ones as duplicates.
    copy.connection.execute(
        f"""
        create table {_named(LOADS, "fresh")} as
        select
            {rest},
            loaded_count - least(coalesce(good, 0), loaded_count) as loaded_count,
            duplicate_count
                - greatest(coalesce(good, 0) - loaded_count, 0) as duplicate_count,
            rejected_count - coalesce(bad, 0) as rejected_count,
            {suppressed} + coalesce(good, 0) + coalesce(bad, 0) as suppressed_count
        from {_named(LOADS, "old")} as loads
        left join privacy_gone using (load_id)
        order by load_id
        """
    )
    copy.connection.unregister("privacy_gone")


# History --------------------------------------------------------------------------------------


def _either_node() -> str:
    return (
        "(node_a in (select unnest($nodes::bigint[])) "
        "or node_b in (select unnest($nodes::bigint[])))"
    )


def _identifier() -> str:
    return "(identifier_type || '|' || identifier_value) in (select unnest($named::varchar[]))"


def _contact_point() -> str:
    return "(contact_point_type || '|' || contact_point) in (select unnest($named::varchar[]))"


def _copy_map(copy: _Copy) -> None:
    _copy_without(copy, ("identity", "identity_map"), _identifier())


def _copy_quarantine(copy: _Copy) -> None:
    _copy_without(copy, ("identity", "identity_quarantine"), _identifier())


def _copy_registry(copy: _Copy) -> None:
    """Ids are for ever: an erased one stays, retired and tied to no identifier."""
    place = ("identity", "identity_registry")
    node = "in (select unnest($nodes::bigint[]))"
    is_theirs = "customer_id in (select unnest($customers::varchar[]))"
    copy.connection.execute(
        f"""
        create table {_named(place, "fresh")} as
        select * replace (
            case when not coalesce(anchor_node_key {node}, false) and not {is_theirs}
                then anchor_node_key end as anchor_node_key,
            case when not coalesce(minted_node_key {node}, false) and not {is_theirs}
                then minted_node_key end as minted_node_key,
            case when {is_theirs} then 'retired' else status end as status,
            case when not {is_theirs} then merged_into end as merged_into,
            case when {is_theirs} then coalesce(ended_as_of, built_as_of) else ended_as_of end
                as ended_as_of
        )
        from {_named(place, "old")}
        """,
        {"nodes": sorted(copy.person.node_keys), "customers": sorted(copy.person.customer_ids)},
    )
    copy.count(place, 0, len(copy.person.customer_ids))


def _copy_events(copy: _Copy) -> None:
    """The ids' history stays, and an `erase` for each id of the person is its end."""
    place = ("identity", "identity_events")
    _copy_without(copy, place, "false")
    copy.connection.execute(
        f"""
        insert into {_named(place, "fresh")} by name
        select
            'erase' as event_type,
            registry.customer_id,
            cast(null as varchar) as other_customer_id,
            cast(0 as bigint) as node_count,
            cast(builds.built_as_of as timestamp) as recorded_at,
            (select coalesce(max(event_sequence), 0) from {_named(place, "old")})
                + row_number() over (order by registry.customer_id) as event_sequence,
            builds.build_number,
            $request as run_id
        from old.identity.identity_registry as registry
        cross join (
            select max(built_as_of) as built_as_of, max(build_number) as build_number
            from old.identity.identity_registry
        ) as builds
        where
            registry.customer_id in (select unnest($customers::varchar[]))
            and not exists (
                select 1 from {_named(place, "old")} as told
                where told.event_type = 'erase' and told.customer_id = registry.customer_id
            )
        """,
        {"customers": sorted(copy.person.customer_ids), "request": copy.request_id},
    )


def _copy_memberships(copy: _Copy) -> None:
    _copy_without(
        copy,
        ("audiences", "audience_memberships"),
        "customer_id in (select unnest($customers::varchar[]))",
    )


HISTORY: dict[Place, Callable[[_Copy], None]] = {
    ("identity", "identity_map"): _copy_map,
    ("identity", "identity_quarantine"): _copy_quarantine,
    ("identity", "identity_registry"): _copy_registry,
    ("identity", "identity_events"): _copy_events,
    ("audiences", "audience_memberships"): _copy_memberships,
}


def clean_history(
    connection: duckdb.DuckDBPyConnection,
    person: Person,
    places: Iterable[Place],
    request_id: str,
) -> list[Counts]:
    """Copy history tables from `old` to `fresh` without the person; others as they are."""
    copy = _Copy(connection, person, request_id)
    for place in places:
        if place in HISTORY:
            HISTORY[place](copy)
        else:
            _copy_without(copy, place, "false")
    return list(copy.counts.values())
