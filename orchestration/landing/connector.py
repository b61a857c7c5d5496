"""Sources that an ELT tool fills: read its schema through the same checks as files.

The tool keeps one row per key and overwrites it, so what is new since the last landing is
appended as one more pseudo-file. A table without a key is read whole when it changed.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from orchestration.errors import CdpError
from orchestration.landing.checking import Checker, Load
from orchestration.landing.declarations import Source, Table
from orchestration.landing.gate import Gate
from orchestration.landing.readers import (
    CHUNK_ROWS,
    Chunk,
    Fault,
    Reading,
    Refused,
    text_chunk,
    text_select,
)
from orchestration.landing.report import FileResult, LandingReport, TableResult, note, sampled
from orchestration.landing.store import (
    REJECTED,
    LoadRecord,
    Loads,
    arrow_rows,
    count_duplicates,
    current_loads,
    now,
    rejected_name,
    rejected_row,
    result_of,
)
from orchestration.warehouse.base import Warehouse

_INCOMING = "connector_rows"

Progress = Callable[[str], None]


def land_source(
    warehouse: Warehouse,
    source: Source,
    loads: Loads,
    as_of: date,
    report: LandingReport,
    progress: Progress,
    gate: Gate,
) -> None:
    """Land what is new in the tool's schema, table by table."""
    if not source.connector_schema:
        raise CdpError(
            f"Source {source.name} has mode schema, but no schema to read: name it in "
            "sources.yml of CDP_HOME."
        )
    for table in source.tables.values():
        exists = warehouse.columns(source.connector_schema, table.name, foreign=True)
        shown = f"schema:{source.connector_schema}.{table.name}"
        result = report.of(source.name, table.name)
        if not exists:
            report.ignored.append(f"{shown}: the tool has no such table (yet)")
            continue
        reader = _Reader(warehouse, source.connector_schema, table, gate)
        try:
            reader.prepare()
        except Refused as refusal:
            _refuse(warehouse, table, loads, as_of, result, shown, refusal)
            continue
        if table.key:
            _land_new_rows(warehouse, table, loads, as_of, result, shown, reader)
        else:
            _land_whole(warehouse, table, loads, as_of, result, shown, reader)
        progress(f"{table.label}: {shown}: {result.landed:,} new rows landed")


class _Reader:
    """The tool's table as text chunks, in an order that does not depend on storage."""

    def __init__(self, warehouse: Warehouse, schema: str, table: Table, gate: Gate) -> None:
        self.warehouse = warehouse
        self.gate = gate
        self.suppressed = 0
        self.place = warehouse.place(schema, table.name, foreign=True)
        self.table = table
        self.reading = Reading()
        self.columns = 0
        self.select = ""

    def prepare(self) -> None:
        with _texts(self.warehouse.query(f"select * from {self.place} limit 0")) as connection:
            described = connection.execute("describe tool_rows").fetchall()
        self.columns = len(described)
        kinds = {str(name): str(kind) for name, kind, *_ in described}
        self.select = text_select(kinds, self.table, self.reading)

    def allowed(self) -> Iterator[Chunk]:
        """The chunks without rows of erased people, which are counted."""
        for chunk in self.chunks():
            cleaned, suppressed = self.gate.clean(self.table, chunk)
            self.suppressed += suppressed
            yield cleaned

    def chunks(self) -> Iterator[Chunk]:
        order = ", ".join(str(position) for position in range(1, self.columns + 1))
        row = 0
        for batch in self.warehouse.batches(
            f"select * from {self.place} order by {order}", CHUNK_ROWS
        ):
            with _texts(pa.Table.from_batches([batch])) as connection:
                found = connection.execute(f"select {self.select} from tool_rows").to_arrow_table()
            for part in found.to_batches():
                yield text_chunk(part, row, self.table)
                row += part.num_rows

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for chunk in self.chunks():
            for values in zip(*chunk.columns.values(), chunk.extra, strict=True):
                digest.update(repr(values).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


@contextmanager
def _texts(rows: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own that sees the tool's rows, so that both engines spell them alike."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'; set preserve_insertion_order = true")
        connection.register("tool_rows", rows)
        yield connection


@dataclass
class _Outcome:
    """What one pass over a connector table found."""

    good: int = 0
    faults: list[Fault] = field(default_factory=list)


def _land_new_rows(
    warehouse: Warehouse,
    table: Table,
    loads: Loads,
    as_of: date,
    result: TableResult,
    shown: str,
    reader: _Reader,
) -> None:
    """Append the rows whose key, version and content are not current yet."""
    records = loads.of_table(table.source, table.name)
    passes = [r for r in records if r.file.startswith(shown + "#") and r.status == "loaded"]
    file = f"{shown}#{len(passes) + 1}"
    load = Load(loads.next_id(), file, now(), as_of)
    current = sorted(load_id for _, load_id in current_loads(records).values())
    known = ", ".join(map(str, current)) or "null"
    raw = warehouse.place(table.schema, table.name)
    rejected = warehouse.place(table.schema, rejected_name(table.name))
    told = {
        row[0]
        for row in warehouse.rows(
            f"select raw_text from {rejected} where _load_id in ({known}) and _file like 'schema:%'"
        )
    }
    outcome = _Outcome()
    with warehouse.transaction(), Checker(table) as checker:
        for chunk in reader.allowed():
            checked, text = checker.check([(load, chunk)])
            result.sample.add(sampled(text, table))
            fresh = [fault for _, fault in checked.faults if fault.raw_text not in told]
            outcome.faults += fresh
            with warehouse.visiting(_INCOMING, checked.good.select(["_content_hash"])):
                new = warehouse.query(
                    f"select distinct _content_hash from {_INCOMING} where _content_hash not in "
                    f"(select _content_hash from {raw} where _load_id in ({known}))"
                )
            hashes = new["_content_hash"].combine_chunks()
            rows = checked.good.filter(pc.is_in(checked.good["_content_hash"], hashes))
            outcome.good += rows.num_rows
            warehouse.append(table.schema, table.name, rows)
        if outcome.good or outcome.faults:
            digest = hashlib.sha256(file.encode()).hexdigest()
            _finish(warehouse, table, loads, load, records, digest, outcome, reader, result)


def _land_whole(
    warehouse: Warehouse,
    table: Table,
    loads: Loads,
    as_of: date,
    result: TableResult,
    shown: str,
    reader: _Reader,
) -> None:
    """Read the whole table as a new load of its pseudo-file, if it changed."""
    digest = reader.content_hash()
    records = loads.of_table(table.source, table.name)
    if digest in current_loads(records):
        return
    load = Load(loads.next_id(), shown, now(), as_of)
    outcome = _Outcome()
    with warehouse.transaction(), Checker(table) as checker:
        for chunk in reader.allowed():
            checked, text = checker.check([(load, chunk)])
            result.sample.add(sampled(text, table))
            outcome.faults += [fault for _, fault in checked.faults]
            outcome.good += checked.good_counts[0]
            warehouse.append(table.schema, table.name, checked.good)
        _finish(warehouse, table, loads, load, records, digest, outcome, reader, result)


def _finish(
    warehouse: Warehouse,
    table: Table,
    loads: Loads,
    load: Load,
    records: list[LoadRecord],
    digest: str,
    outcome: _Outcome,
    reader: _Reader,
    result: TableResult,
) -> None:
    rejected = [rejected_row(load, fault) for fault in outcome.faults]
    warehouse.append(table.schema, rejected_name(table.name), arrow_rows(REJECTED, rejected))
    record = _record(
        table,
        load.load_id,
        load.file,
        digest,
        load.loaded_at,
        load.as_of,
        landed_count=outcome.good + len(rejected) + reader.suppressed,
        loaded_count=outcome.good,
        rejected_count=len(rejected),
        suppressed_count=reader.suppressed,
        unknown_columns=", ".join(reader.reading.unknown_columns) or None,
        message="; ".join(reader.reading.notes) or None,
    )
    current = current_loads([*records, record])
    others = {load_id for _, load_id in current.values()} - {load.load_id}
    repeated = count_duplicates(warehouse, table, [load.load_id], sorted(others))
    count = repeated.get(load.load_id, 0)
    record = replace(record, loaded_count=outcome.good - count, duplicate_count=count)
    loads.append([record])
    loads.write_current(table.source, table.name, current)
    for fault in outcome.faults:
        note(result.rules, result.rejections, result, load.file, fault)
    result.files.append(result_of(record))


def _refuse(
    warehouse: Warehouse,
    table: Table,
    loads: Loads,
    as_of: date,
    result: TableResult,
    shown: str,
    refusal: Refused,
) -> None:
    digest = hashlib.sha256(f"{shown}:{refusal.rule}:{refusal.message}".encode()).hexdigest()
    records = loads.of_table(table.source, table.name)
    if not any(record.content_hash == digest for record in records):
        record = _record(
            table,
            loads.next_id(),
            shown,
            digest,
            now(),
            as_of,
            status="refused",
            rule=refusal.rule,
            message=refusal.message,
        )
        with warehouse.transaction():
            loads.append([record])
    result.files.append(
        FileResult(
            table.source, table.name, shown, "refused", rule=refusal.rule, message=refusal.message
        )
    )


def _record(
    table: Table,
    load_id: int,
    file: str,
    digest: str,
    loaded_at: datetime,
    as_of: date,
    landed_count: int = 0,
    loaded_count: int = 0,
    rejected_count: int = 0,
    suppressed_count: int = 0,
    unknown_columns: str | None = None,
    status: str = "loaded",
    rule: str | None = None,
    message: str | None = None,
) -> LoadRecord:
    return LoadRecord(
        load_id=load_id,
        source=table.source,
        table_name=table.name,
        file=file,
        content_hash=digest,
        size_bytes=0,
        archived_as=None,
        landed_count=landed_count,
        loaded_count=loaded_count,
        rejected_count=rejected_count,
        duplicate_count=0,
        suppressed_count=suppressed_count,
        unknown_columns=unknown_columns,
        status=status,
        rule=rule,
        message=message,
        loaded_at=loaded_at,
        landed_as_of=as_of,
    )
