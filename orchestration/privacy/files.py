"""Landed files without a person's rows: everything else in them stays as it was written."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.landing.declarations import Table
from orchestration.landing.readers import (
    Chunk,
    Reading,
    Record,
    Refused,
    examine,
    header_of,
    raw_records,
    read,
)
from orchestration.privacy.rows import Finder, Marks, changed_row, emptied

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CHUNK = "privacy_chunk"
# Of a row that could not be read as declared, whether it names the person.
NamesPerson = Callable[[str], bool]


@dataclass
class FileMarks:
    """What a file holds of a person, by the numbers of its rows."""

    dropped: set[int] = field(default_factory=set)
    changed: dict[int, dict[str, str | None]] = field(default_factory=dict)
    marks: dict[int, tuple[Marks, Any]] = field(default_factory=dict)
    kept: int = 0

    def __bool__(self) -> bool:
        return bool(self.dropped or self.changed)


def chunk_table(table: Table, chunk: Chunk) -> pa.Table:
    """A chunk as Arrow, as a finder wants it."""
    columns = {
        column.name: pa.array(chunk.columns[column.name], pa.string()) for column in table.columns
    }
    return pa.table(
        {
            **columns,
            "_extra": pa.array([None if e is None else str(e) for e in chunk.extra], pa.string()),
            "row_id": pa.array(range(len(chunk.rows)), pa.int64()),
        }
    )


def marks_of_chunk(finder: Finder, table: Table, chunk: Chunk) -> Marks:
    """The person's rows of a chunk, by their position in it."""
    if not chunk.rows:
        return Marks()
    # A table of its own: a view of Arrow would be scanned by every query again.
    with_rows = chunk_table(table, chunk)
    finder.connection.register("privacy_arrow", with_rows)
    finder.connection.execute(
        f"create or replace temp table {CHUNK} as select * from privacy_arrow"
    )
    finder.connection.unregister("privacy_arrow")
    return finder.marks(table, CHUNK)


def marks_of_file(path: Path, table: Table, finder: Finder, names_person: NamesPerson) -> FileMarks:
    """Which rows of a landed file go or change; raises `Refused` where it cannot be read."""
    found = FileMarks()
    for chunk in read(path, table, examine(path), Reading()):
        marks = marks_of_chunk(finder, table, chunk)
        found.dropped |= {chunk.rows[position] for position in marks.dropped}
        found.kept += len(chunk.rows) - len(marks.dropped)
        for position in marks.changed:
            values = {name: column[position] for name, column in chunk.columns.items()}
            row = chunk.rows[position]
            found.changed[row] = changed_row(marks, position, values)
            found.marks[row] = (marks, position)
        for fault in chunk.faults:
            if names_person(fault.raw_text):
                found.dropped.add(fault.row)
            else:
                found.kept += 1
    return found


def write_without(path: Path, target: Path, table: Table, found: FileMarks) -> bool:
    """Write a file without what was found of a person; False where nothing else was in it."""
    if not found.kept:
        return False
    if path.suffix.lower() == ".parquet":
        _write_parquet(path, target, table, found)
        return True
    with path.open("rb") as file:
        begins = file.read(3) == BYTE_ORDER_MARK
    with target.open("wb") as file:
        if begins:
            file.write(BYTE_ORDER_MARK)
        for text in _kept_texts(path, table, found):
            file.write(text.encode("utf-8", "surrogateescape"))
    return True


def _kept_texts(path: Path, table: Table, found: FileMarks) -> Iterator[str]:
    is_csv = path.suffix.lower() == ".csv"
    header: list[str] = []
    matched: dict[str, str] = {}
    for record in raw_records(path):
        if record.row is None:
            if is_csv and record.fields and not header:
                header = [name.strip() for name in record.fields]
                matched = header_of(header, table)
            yield record.text
        elif record.row in found.dropped:
            continue
        elif record.row in found.changed:
            if is_csv:
                yield _changed_csv(record, header, matched, found)
            else:
                yield _changed_json(record, table, found)
        else:
            yield record.text


def _ending(text: str) -> str:
    return text[len(text.rstrip("\r\n")) :]


def _changed_csv(
    record: Record, header: list[str], matched: dict[str, str], found: FileMarks
) -> str:
    assert record.row is not None
    marks, position = found.marks[record.row]
    values = found.changed[record.row]
    fields = []
    for name, text in zip(header, record.fields, strict=True):
        declared = matched.get(name)
        if declared is None:
            for spelled in marks.texts.get(position, ()):
                text = text.replace(spelled, "")
        elif declared in marks.emptied.get(position, {}) or position in marks.texts:
            text = values[declared] or ""
        fields.append(text)
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=_ending(record.text)).writerow(fields)
    return written.getvalue()


def _changed_json(record: Record, table: Table, found: FileMarks) -> str:
    assert record.row is not None
    marks, position = found.marks[record.row]
    content = json.loads(record.text)
    matched = header_of(list(content), table)
    for name, value in content.items():
        raws = marks.emptied.get(position, {}).get(matched.get(name, ""))
        if raws and isinstance(value, dict | list):
            content[name] = json.loads(emptied(json.dumps(value, ensure_ascii=False), raws) or "")
        elif raws and value is not None:
            content[name] = emptied(str(value), raws)
    text = json.dumps(content, ensure_ascii=False)
    for spelled in marks.texts.get(position, ()):
        text = text.replace(spelled, "")
    return text + _ending(record.text)


def _write_parquet(path: Path, target: Path, table: Table, found: FileMarks) -> None:
    content = pq.read_table(path)
    matched = {declared: name for name, declared in header_of(content.column_names, table).items()}
    for column in table.columns:
        name = matched.get(column.name)
        rows = [row for row in found.changed if name is not None]
        if not rows or name is None:
            continue
        kind = content.schema.field(name).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            continue
        values = content.column(name).to_pylist()
        for row in rows:
            values[row - 1] = found.changed[row][column.name]
        index = content.column_names.index(name)
        content = content.set_column(index, name, pa.array(values, kind))
    kept = [at for at in range(content.num_rows) if at + 1 not in found.dropped]
    pq.write_table(content.take(kept), target)


__all__ = ["FileMarks", "Refused", "marks_of_chunk", "marks_of_file", "write_without"]
