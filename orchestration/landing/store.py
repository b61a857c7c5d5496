"""The loader's own tables: which loads there were and which of them staging reads."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from orchestration.landing.checking import Load
from orchestration.landing.declarations import Source, Table
from orchestration.landing.readers import Fault
from orchestration.landing.report import FileResult
from orchestration.warehouse.base import Warehouse

LANDING = "raw_landing"

LOADS = {
    "load_id": "bigint",
    "source": "varchar",
    "table_name": "varchar",
    "file": "varchar",
    "content_hash": "varchar",
    "size_bytes": "bigint",
    "archived_as": "varchar",
    "landed_count": "bigint",
    "loaded_count": "bigint",
    "rejected_count": "bigint",
    "duplicate_count": "bigint",
    "suppressed_count": "bigint",
    "unknown_columns": "varchar",
    "status": "varchar",
    "rule": "varchar",
    "message": "varchar",
    "loaded_at": "timestamp",
    "landed_as_of": "date",
}
CURRENT = {
    "source": "varchar",
    "table_name": "varchar",
    "file": "varchar",
    "load_id": "bigint",
}
REJECTED = {
    "_file": "varchar",
    "_row": "bigint",
    "column_name": "varchar",
    "rule": "varchar",
    "message": "varchar",
    "raw_text": "varchar",
    "_load_id": "bigint",
    "_loaded_at": "timestamp",
    "_landed_as_of": "date",
}
ADDED = {
    "_file": "varchar",
    "_row": "bigint",
    "_load_id": "bigint",
    "_content_hash": "varchar",
    "_extra": "varchar",
    "_loaded_at": "timestamp",
    "_landed_as_of": "date",
}
# What probable matching found; empty where it never ran.
PAIRS_PLACE = ("raw_matching", "pairs")
PAIRS = {
    "node_a": "bigint",
    "node_b": "bigint",
    "match_weight": "double",
    "match_probability": "double",
    "matched_on": "varchar",
}
_ARROW = {
    "bigint": pa.int64(),
    "varchar": pa.string(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}


@dataclass(frozen=True)
class LoadRecord:
    """One row of `raw_landing.loads`."""

    load_id: int
    source: str
    table_name: str
    file: str
    content_hash: str
    size_bytes: int
    archived_as: str | None
    landed_count: int
    loaded_count: int
    rejected_count: int
    duplicate_count: int
    # Rows of erased people; a load of before there was the column has none.
    suppressed_count: int | None
    unknown_columns: str | None
    status: str
    rule: str | None
    message: str | None
    loaded_at: datetime
    landed_as_of: date


def rejected_name(table: str) -> str:
    """The name of the table that holds a raw table's rejected rows."""
    return f"{table}__rejected"


def arrow_rows(columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]) -> pa.Table:
    """Rows of one of the loader's own tables as Arrow."""
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in columns.items()])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def ensure_tables(warehouse: Warehouse, declarations: Mapping[str, Source]) -> None:
    """Every declared raw table exists, empty where a company has no such source."""
    warehouse.recover()
    warehouse.ensure_table(LANDING, "loads", LOADS)
    warehouse.ensure_table(LANDING, "current_loads", CURRENT)
    warehouse.ensure_table(
        "raw_cdp", "installation", {"salt": "varchar", "created_at": "timestamp"}
    )
    warehouse.ensure_table(*PAIRS_PLACE, PAIRS)
    if not warehouse.rows(f"select 1 from {warehouse.place('raw_cdp', 'installation')}"):
        # Made once: every customer_id ever issued depends on it.
        warehouse.append(
            "raw_cdp",
            "installation",
            pa.table(
                {
                    "salt": [secrets.token_hex(32)],
                    "created_at": pa.array([now()], pa.timestamp("us")),
                }
            ),
        )
    for source in declarations.values():
        for table in source.tables.values():
            declared = {column.name: column.sql_type for column in table.columns}
            warehouse.ensure_table(source.schema, table.name, declared | ADDED)
            warehouse.ensure_table(source.schema, rejected_name(table.name), REJECTED)


def now() -> datetime:
    """The time of loading, UTC, as the warehouse stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


class Loads:
    """Reads and appends `raw_landing.loads` and keeps `current_loads` in step."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        found = warehouse.rows(f"select max(load_id) from {warehouse.place(LANDING, 'loads')}")
        self.last_id = int(found[0][0] or 0)

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def of_table(self, source: str, table: str) -> list[LoadRecord]:
        """All records of a table, oldest first."""
        rows = self.warehouse.rows(
            f"select {', '.join(LOADS)} from {self.warehouse.place(LANDING, 'loads')} "
            "where source = ? and table_name = ? order by load_id",
            [source, table],
        )
        return [LoadRecord(*row) for row in rows]

    def append(self, records: Iterable[LoadRecord]) -> None:
        """Append records; call within a transaction."""
        self.warehouse.append(LANDING, "loads", arrow_rows(LOADS, map(vars, records)))

    def write_current(
        self, source: str, table: str, current: Mapping[str, tuple[str, int]]
    ) -> None:
        """Rewrite a table's current loads; call within a transaction."""
        others = self.warehouse.rows(
            f"select {', '.join(CURRENT)} from {self.warehouse.place(LANDING, 'current_loads')} "
            "where not (source = ? and table_name = ?)",
            [source, table],
        )
        kept = [*others, *((source, table, *each) for each in current.values())]
        rows = [dict(zip(CURRENT, row, strict=True)) for row in sorted(kept)]
        self.warehouse.replace(LANDING, "current_loads", arrow_rows(CURRENT, rows))


def current_loads(records: Iterable[LoadRecord]) -> dict[str, tuple[str, int]]:
    """Content hash -> (file, load id) that staging reads.

    Each file stands for its newest content, and each content is read once however many files
    carry it. It is worked out from the whole log, so that when one of two equal files changes
    the other's rows stay.
    """
    newest: dict[str, str] = {}
    load_of: dict[str, int] = {}
    for record in records:
        if record.status in ("loaded", "duplicate"):
            newest[record.file] = record.content_hash
        if record.status == "loaded":
            load_of[record.content_hash] = record.load_id
    current: dict[str, tuple[str, int]] = {}
    for file in sorted(newest):
        content = newest[file]
        current.setdefault(content, (file, load_of[content]))
    return current


def count_duplicates(
    warehouse: Warehouse, table: Table, fresh: Iterable[int], others: Iterable[int]
) -> dict[int, int]:
    """Rows of each fresh load that repeat a current row or an earlier fresh one.

    The content hash covers every declared column, so equal hashes are equal keys and versions.
    """
    fresh_list = ", ".join(map(str, fresh))
    if not table.key or not fresh_list:
        return {}
    other_list = ", ".join(map(str, others)) or "null"
    raw = warehouse.place(table.schema, table.name)
    rows = warehouse.rows(
        f"""
        with fresh as (
            select
                _load_id,
                _content_hash,
                row_number() over (
                    partition by _content_hash order by _load_id, _row
                ) as repetition
            from {raw}
            where _load_id in ({fresh_list})
        ),
        known as (
            select distinct _content_hash from {raw} where _load_id in ({other_list})
        )
        select fresh._load_id, count(*)
        from fresh
        left join known on fresh._content_hash = known._content_hash
        where fresh.repetition > 1 or known._content_hash is not null
        group by 1
        """
    )
    return {int(load_id): int(count) for load_id, count in rows}


def rejected_row(load: Load, fault: Fault) -> dict[str, object]:
    """A row of a `__rejected` table."""
    return {
        "_file": load.file,
        "_row": fault.row,
        "column_name": fault.column,
        "rule": fault.rule,
        "message": fault.message,
        "raw_text": fault.raw_text,
        "_load_id": load.load_id,
        "_loaded_at": load.loaded_at,
        "_landed_as_of": load.as_of,
    }


def result_of(record: LoadRecord) -> FileResult:
    """A record of the log as a line of the report."""
    return FileResult(
        record.source,
        record.table_name,
        record.file,
        record.status,
        record.landed_count,
        record.loaded_count,
        record.rejected_count,
        record.duplicate_count,
        record.suppressed_count or 0,
        tuple(record.unknown_columns.split(", ")) if record.unknown_columns else (),
        record.rule,
        record.message,
        record.size_bytes,
    )
