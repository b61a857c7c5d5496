"""Read one landed file as text columns with exact record numbers.

A reader never guesses: what cannot be read as declared becomes a fault of one row, or refuses
the whole file with what to do about it. Everything stays text here; `checking` gives types.
"""

import codecs
import csv
import hashlib
import itertools
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import pyarrow as pa

from orchestration.landing.declarations import Column, Table
from orchestration.syncs.scrub import scrub
from orchestration.warehouse.base import quoted

CHUNK_ROWS = 100_000
CHUNK_CHARACTERS = 64 * 1024 * 1024
FIELD_LIMIT = 1024 * 1024
RECORD_LIMIT = 64 * 1024 * 1024
EXCERPT = 1000
BLOCK = 1024 * 1024

SUFFIXES = (".csv", ".jsonl", ".parquet")

_MAGIC = {
    b"PK\x03\x04": "a ZIP archive (or an Excel workbook)",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
}
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", ":": "colons"}


class Refused(Exception):
    """A file that cannot be loaded at all; stays where it is, with a rule and a remedy."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


@dataclass(frozen=True)
class Facts:
    """What one pass over the bytes tells: identity, size, and which checks can be skipped."""

    content_hash: str
    size: int
    is_ascii: bool
    is_utf8: bool
    has_nul: bool
    head: bytes
    tail: bytes


@dataclass(frozen=True)
class Fault:
    """Why one row is not loaded."""

    row: int
    column: str | None
    rule: str
    message: str
    raw_text: str


@dataclass
class Chunk:
    """Up to `CHUNK_ROWS` rows of a file: text columns, numbers, and what was wrong already."""

    columns: dict[str, Sequence[str | None]]
    rows: Sequence[int]
    extra: Sequence[str | None]
    raw: Callable[[int], str]
    faults: list[Fault] = field(default_factory=list)


@dataclass
class Reading:
    """What a reader learned of a file beside its rows."""

    notes: list[str] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)

    def tell_unknown(self, names: Iterable[str]) -> None:
        """Names that nobody declared, for reports; without a header they are a person's values."""
        self.unknown_columns = sorted({scrub(name) or "" for name in names})


def open_plain(path: Path) -> int:
    """A descriptor of a file that is not a link (links may lead out of landing)."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))


def examine(path: Path) -> Facts:
    """Hash the bytes and learn their encoding in one pass of bounded memory."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_ascii, is_utf8, has_nul, size = True, True, False, 0
    head = tail = b""
    with os.fdopen(open_plain(path), "rb") as file:
        while block := file.read(BLOCK):
            head = head or block[:4096]
            tail = (tail + block)[-8:]
            size += len(block)
            digest.update(block)
            has_nul = has_nul or b"\0" in block
            if is_ascii and not block.isascii():
                is_ascii = False
            if is_utf8 and not is_ascii:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    is_utf8 = False
        if is_utf8:
            try:
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                is_utf8 = False
    return Facts(digest.hexdigest(), size, is_ascii, is_utf8, has_nul, head, tail)


def read(path: Path, table: Table, facts: Facts, reading: Reading) -> Iterator[Chunk]:
    """The rows of a landed file; raises `Refused` where the file as a whole is wrong."""
    suffix = path.suffix.lower()
    if facts.size == 0:
        raise Refused("empty_file", "the file has no bytes; send it again, or delete it")
    if suffix == ".parquet":
        yield from _read_parquet(path, table, facts, reading)
        return
    _refuse_other_formats(suffix, facts)
    if facts.head.startswith(codecs.BOM_UTF8):
        reading.notes.append("a byte order mark was skipped")
    if suffix == ".csv":
        yield from _read_csv(path, table, facts, reading)
    else:
        yield from _read_jsonl(path, table, facts, reading)


def _refuse_other_formats(suffix: str, facts: Facts) -> None:
    for magic, what in _MAGIC.items():
        if facts.head.startswith(magic):
            raise Refused(
                "wrong_format",
                f"named {suffix} but it is {what}; unpack or export it as plain {suffix[1:]}",
            )
    sample = facts.head
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise Refused("utf_16", "the text is UTF-16, not UTF-8; save it again as UTF-8")
    if sample.count(0) * 4 > len(sample):
        raise Refused(
            "utf_16", "every other byte is zero: UTF-16 or binary; save it again as UTF-8 text"
        )


def _match(names: Sequence[str], table: Table) -> dict[str, str]:
    """Found name -> declared name: exact first, then ignoring case, then by its other names."""
    matched = {column.name: column.name for column in table.columns if column.name in names}
    for column in table.columns:
        if column.name in matched:
            continue
        near = [name for name in names if name.lower() == column.name.lower()]
        near = [name for name in near if name not in matched]
        if len(near) > 1:
            raise Refused(
                "duplicate_column",
                f"columns {', '.join(near)} all mean {column.name}; keep one of them",
            )
        others = [name for name in column.also if name in names and name not in matched]
        if near or others:
            matched[(near or others)[0]] = column.name
    return matched


def _missing(matched: Mapping[str, str], table: Table, reading: Reading) -> None:
    found = set(matched.values())
    missing = [column for column in table.columns if column.name not in found]
    required = [column.name for column in missing if column.required]
    if required:
        raise Refused(
            "missing_column",
            f"required column {', '.join(required)} is missing; "
            f"the header must name {'it' if len(required) == 1 else 'them'}",
        )
    if missing:
        reading.notes.append("absent, read as null: " + ", ".join(c.name for c in missing))


def _normal(values: Sequence[str | None]) -> Sequence[str | None]:
    """Unicode NFC, touching only what is not plain ASCII."""
    return [
        value
        if value is None or value.isascii() or unicodedata.is_normalized("NFC", value)
        else unicodedata.normalize("NFC", value)
        for value in values
    ]


def _extras(unknown: Mapping[str, Sequence[str | None]], count: int) -> list[str | None]:
    """Unknown columns as JSON text per row, empty values left out."""
    if not unknown:
        return [None] * count
    names = list(unknown)
    extras: list[str | None] = []
    for values in zip(*unknown.values(), strict=True):
        kept = {name: value for name, value in zip(names, values, strict=True) if value}
        extras.append(_dump(kept) if kept else None)
    return extras


class CanonicalJson(str):
    """JSON text that is in the one spelling already."""

    __slots__ = ()


# One encoder for all: `json.dumps` with options makes a new one at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def _dump(value: object) -> CanonicalJson:
    return CanonicalJson(_encode(value))


def _printable(text: str) -> str:
    """Text that any store takes: broken bytes and NULs shown as the replacement sign."""
    excerpt = text[:EXCERPT].replace("\0", "\ufffd")
    return excerpt.encode("utf-8", "replace").decode("utf-8") if not excerpt.isascii() else excerpt


# CSV ------------------------------------------------------------------------------------------


class _RecordTooLong(Exception):
    """A record beyond what is held in memory: an open quote, or no line ends at all."""


class _Lines:
    """Feeds the csv reader and remembers the lines of the record being read."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        taken = self.taken
        held = 0
        for line in iter(partial(self.file.readline, RECORD_LIMIT), ""):
            held = held + len(line) if taken else len(line)
            taken.append(line)
            if held >= RECORD_LIMIT:
                raise _RecordTooLong
            yield line


def _read_csv(path: Path, table: Table, facts: Facts, reading: Reading) -> Iterator[Chunk]:
    # The module-wide limit must not cut a record before its end is found; RECORD_LIMIT bounds it.
    csv.field_size_limit(max(csv.field_size_limit(), 2 * RECORD_LIMIT))
    with open(open_plain(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(iter(lines), strict=True)
        names, matched = _header(reader, lines, table, reading)
        yield from _csv_chunks(reader, lines, names, matched, table, facts)


def _header(
    reader: Any, lines: _Lines, table: Table, reading: Reading
) -> tuple[list[str], dict[str, str]]:
    try:
        header = next(reader, None)
        while header == []:
            header = next(reader, None)
    except (csv.Error, _RecordTooLong) as error:
        raise Refused("header", f"the first line is no readable header ({error})") from error
    text = "".join(lines.taken)
    lines.taken.clear()
    if header is None:
        raise Refused("empty_file", "the file holds only blank lines; send it again")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused("encoding", "the header is not UTF-8; save the file as UTF-8") from error
    names = [
        unicodedata.normalize("NFC", name.strip()) or f"column_{position}"
        for position, name in enumerate(header, start=1)
    ]
    if len(names) == 1 and len(table.columns) > 1:
        for sign, word in _DELIMITERS.items():
            if sign in names[0]:
                raise Refused(
                    "wrong_delimiter",
                    f"the fields are separated by {word}; export the file with commas",
                )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        told = scrub(", ".join(repeated))
        raise Refused("duplicate_column", f"the header names {told} more than once")
    matched = _match(names, table)
    _missing(matched, table, reading)
    reading.tell_unknown(name for name in names if name not in matched)
    return names, matched


@dataclass(frozen=True)
class Record:
    """A record of a text file as it stands there; its row is None for a header or a blank line."""

    row: int | None
    text: str
    fields: list[str] = field(default_factory=list)


def raw_records(path: Path) -> Iterator[Record]:
    """Every record of a CSV or JSON lines file with the number that its row has in `read`.

    The texts put together are the file, but for a byte order mark.
    """
    if path.suffix.lower() != ".csv":
        yield from _raw_lines(path)
        return
    csv.field_size_limit(max(csv.field_size_limit(), 2 * RECORD_LIMIT))
    with open(open_plain(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(iter(lines), strict=True)
        row: int | None = None
        while True:
            fields: list[str] = []
            is_broken = False
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error:
                is_broken = True
            except _RecordTooLong:
                yield Record((row or 0) + 1, "".join(lines.taken) + file.read())
                return
            text = "".join(lines.taken)
            lines.taken.clear()
            if not fields and not is_broken:
                yield Record(None, text)
            elif row is None:
                row = 0
                yield Record(None, text, fields)
            else:
                row += 1
                yield Record(row, text, fields)


def _raw_lines(path: Path) -> Iterator[Record]:
    row = 0
    with open(open_plain(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        # A line ends where the file says so, not at signs that Python takes for line ends.
        pending = ""
        for line in file:
            pending += line
            if not pending.endswith("\n"):
                continue
            row += 1 if pending.strip() else 0
            yield Record(row if pending.strip() else None, pending)
            pending = ""
        if pending:
            row += 1 if pending.strip() else 0
            yield Record(row if pending.strip() else None, pending)


def header_of(names: Sequence[str], table: Table) -> dict[str, str]:
    """Found name -> declared name, as reading a file of this table matches them."""
    return _match(names, table)


def _csv_chunks(
    reader: Any,
    lines: _Lines,
    names: list[str],
    matched: dict[str, str],
    table: Table,
    facts: Facts,
) -> Iterator[Chunk]:
    width = len(names)
    suspect = not facts.is_utf8 or facts.has_nul
    taken = lines.taken
    row = 0
    while True:
        records: list[list[str]] = []
        numbers: list[int] = []
        raws: list[str] = []
        faults: list[Fault] = []
        held = 0
        ended = False
        last = row + CHUNK_ROWS
        while row < last and held < CHUNK_CHARACTERS:
            try:
                fields = next(reader)
            except StopIteration:
                ended = True
                break
            except csv.Error as error:
                row += 1
                faults.append(_quote_fault(row, lines, str(error)))
                continue
            except _RecordTooLong:
                row += 1
                faults.append(_endless_fault(row, lines))
                ended = True
                break
            text = taken[0] if len(taken) == 1 else "".join(taken)
            taken.clear()
            if not fields:
                continue
            row += 1
            size = len(text)
            held += size
            fault = None
            if len(fields) != width:
                fault = Fault(
                    row,
                    None,
                    "ragged",
                    f"the row has {len(fields)} fields, the header {width}",
                    _printable(text),
                )
            elif suspect or size > FIELD_LIMIT:
                fault = _field_fault(row, names, fields, text)
            if fault:
                faults.append(fault)
                continue
            records.append(fields)
            numbers.append(row)
            raws.append(text if size <= EXCERPT else text[:EXCERPT])
        if records or faults:
            yield _csv_chunk(records, numbers, raws, faults, names, matched, table, facts)
        if ended:
            return


def _csv_chunk(
    records: list[list[str]],
    numbers: list[int],
    raws: list[str],
    faults: list[Fault],
    names: list[str],
    matched: dict[str, str],
    table: Table,
    facts: Facts,
) -> Chunk:
    values: list[Sequence[str | None]]
    values = list(zip(*records, strict=True)) if records else [() for _ in names]
    if not facts.is_ascii:
        values = [_normal(column) for column in values]
    by_name = dict(zip(names, values, strict=True))
    columns = {declared: by_name[name] for name, declared in matched.items()}
    unknown = {name: by_name[name] for name in names if name not in matched}
    return Chunk(
        _complete(columns, table, len(records)),
        numbers,
        _extras(unknown, len(records)),
        lambda position: _printable(raws[position]),
        faults,
    )


def _complete(
    columns: Mapping[str, Sequence[str | None]], table: Table, count: int
) -> dict[str, Sequence[str | None]]:
    empty = [None] * count
    return {column.name: columns.get(column.name, empty) for column in table.columns}


def _field_fault(row: int, names: Sequence[str], fields: Sequence[str], text: str) -> Fault | None:
    for name, value in zip(names, fields, strict=True):
        if len(value) > FIELD_LIMIT:
            message = f"the field has {len(value):,} characters; at most {FIELD_LIMIT:,} are taken"
            return Fault(row, name, "field_too_long", message, _printable(text))
        if "\0" in value:
            return Fault(row, name, "nul", "the field holds a NUL byte", _printable(text))
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                byte = ord(value[error.start]) & 0xFF
                message = f"not UTF-8 (byte 0x{byte:02X}, Latin-1?); export the file as UTF-8"
                return Fault(row, name, "encoding", message, _printable(text))
    return None


def _quote_fault(row: int, lines: _Lines, reason: str) -> Fault:
    swallowed = len(lines.taken)
    text = _printable("".join(itertools.islice(lines.taken, 50)))
    lines.taken.clear()
    if "unexpected end of data" in reason:
        message = f"a quote opens here and never closes: {swallowed} line(s) up to the end"
        return Fault(row, None, "unterminated_quote", message, text)
    message = f"a quote inside a quoted field is not doubled; {swallowed} line(s) are not read"
    return Fault(row, None, "quote", message, text)


def _endless_fault(row: int, lines: _Lines) -> Fault:
    text = _printable(lines.taken[0][:EXCERPT])
    lines.taken.clear()
    for _ in iter(partial(lines.file.readline, RECORD_LIMIT), ""):
        pass
    message = (
        f"the record is longer than {RECORD_LIMIT // 1024 // 1024} MB (a quote that never "
        "closes?); it and all after it is not read"
    )
    return Fault(row, None, "record_too_long", message, text)


# JSON lines -----------------------------------------------------------------------------------


class _Number:
    """A JSON number that remembers how it was written, so that 12.10 stays 12.10."""

    text: str


class _Fraction(_Number, float):
    """A number that every engine writes alike."""


class _Whole(_Number, int):
    """12.0 and 9e8: within JSON a whole number, since engines write them in ways of their own."""


class _FarNumber(_Number, str):
    """Very large and very small ones: within JSON a text, for the same reason."""


# From here on Java writes an exponent (Double.toString), and others do not.
_FAR, _NEAR = 1e7, 1e-3


def _number(text: str) -> _Number:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    kept: _Number
    if number.is_integer() and abs(number) < 2**63:
        kept = _Whole(number)
    elif _NEAR <= abs(number) < _FAR:
        kept = _Fraction(number)
    else:
        kept = _FarNumber(repr(number))
    kept.text = text
    return kept


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the key {name!r} is given twice")
            seen.add(name)
    return found


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_number, parse_constant=_refuse_constant
)


def canonical_json(text: str) -> str:
    """JSON text in one spelling (sorted keys, no spaces); raises ValueError if it is none."""
    try:
        return _dump(_decoder.decode(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _read_jsonl(path: Path, table: Table, facts: Facts, reading: Reading) -> Iterator[Chunk]:
    if facts.head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        raise Refused("not_json_lines", "a JSON array; write one object per line instead")
    parser = _JsonRows(table, facts)
    row = 0
    with os.fdopen(open_plain(path), "rb") as file:
        for line in iter(partial(file.readline, RECORD_LIMIT), b""):
            if len(line) >= RECORD_LIMIT and not line.endswith(b"\n"):
                row += 1
                parser.fault(row, None, "record_too_long", "the line is longer than 64 MB", line)
                while (line := file.readline(RECORD_LIMIT)) and not line.endswith(b"\n"):
                    pass
                continue
            if row == 0:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            row += 1
            parser.add(row, line)
            if parser.is_full():
                yield parser.chunk()
        if row == 0:
            raise Refused("empty_file", "the file holds only blank lines; send it again")
        if parser.rows or parser.faults:
            yield parser.chunk()
    reading.tell_unknown(parser.unknown)


class _JsonRows:
    """Collects the rows of a JSON lines file."""

    def __init__(self, table: Table, facts: Facts) -> None:
        self.table = table
        self.facts = facts
        self.declared = {column.name: column for column in table.columns}
        self.folded = {column.name.lower(): column.name for column in table.columns}
        self.others = {other: column for column in table.columns for other in column.also}
        self.unknown: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        self.values: dict[str, list[str | None]] = {name: [] for name in self.declared}
        self.rows: list[int] = []
        self.extra: list[str | None] = []
        self.raws: list[str] = []
        self.faults: list[Fault] = []
        self.held = 0

    def is_full(self) -> bool:
        return len(self.rows) + len(self.faults) >= CHUNK_ROWS or self.held >= CHUNK_CHARACTERS

    def chunk(self) -> Chunk:
        raws = self.raws
        made = Chunk(dict(self.values), self.rows, self.extra, lambda at: raws[at], self.faults)
        self._clear()
        return made

    def fault(self, row: int, column: str | None, rule: str, message: str, line: bytes) -> None:
        text = _printable(line[: 4 * EXCERPT].decode("utf-8", "replace").rstrip("\r\n"))
        self.faults.append(Fault(row, column, rule, message, text))
        self.held += len(text)

    def add(self, row: int, line: bytes) -> None:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            message = f"not UTF-8 (byte 0x{byte:02X}, Latin-1?); export the file as UTF-8"
            self.fault(row, None, "encoding", message, line)
            return
        try:
            content = _decoder.decode(text.strip())
        except RecursionError:
            self.fault(row, None, "json", "nested too deeply", line)
            return
        except json.JSONDecodeError as error:
            # Only the parser's reason and the place: its text never quotes the line.
            message = f"not valid JSON: {error.msg} at character {error.pos + 1}"
            self.fault(row, None, "json", message, line)
            return
        except ValueError as error:
            self.fault(row, None, "json", f"not valid JSON: {error}", line)
            return
        if not isinstance(content, dict):
            self.fault(row, None, "json", "the line is no JSON object", line)
            return
        self._place(row, content, line, text)

    def _place(self, row: int, content: dict[str, Any], line: bytes, text: str) -> None:
        placed: dict[str, str | None] = {}
        extra: dict[str, Any] = {}
        for name, value in content.items():
            column = self.declared.get(name)
            if column is None:
                near = self.folded.get(name.lower())
                column = self.declared[near] if near else self.others.get(name)
                if column is None or column.name in content or column.name in placed:
                    extra[name] = value
                    continue
            try:
                placed[column.name] = _scalar(value, column)
            except ValueError as error:
                self.fault(row, column.name, "type", str(error), line)
                return
        if len(line) > FIELD_LIMIT:
            for name, found in placed.items():
                if found is not None and len(found) > FIELD_LIMIT:
                    message = f"the field has {len(found):,} characters"
                    message += f"; at most {FIELD_LIMIT:,} are taken"
                    self.fault(row, name, "field_too_long", message, line)
                    return
        if "\\u" in text or not text.isascii() or "\0" in text:
            bad = self._normalise(placed)
            if bad:
                self.fault(row, bad[0], bad[1], bad[2], line)
                return
        kept = _dump(extra) if extra else None
        if kept is not None and not _encodable(kept):
            self.fault(row, None, "encoding", "a lone half of a surrogate pair", line)
            return
        for name, values in self.values.items():
            values.append(placed.get(name))
        self.unknown.update(extra)
        self.rows.append(row)
        self.extra.append(kept)
        self.raws.append(_printable(text.rstrip("\r\n")))
        self.held += len(text)

    def _normalise(self, placed: dict[str, str | None]) -> tuple[str, str, str] | None:
        for name, value in placed.items():
            if value is None or (value.isascii() and "\0" not in value):
                continue
            if "\0" in value:
                return name, "nul", "the field holds a NUL character"
            if not _encodable(value):
                return name, "encoding", "a lone half of a surrogate pair"
            placed[name] = unicodedata.normalize("NFC", value)
        return None


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _scalar(value: Any, column: Column) -> str | None:
    """A JSON value as the text of its column."""
    if value is None:
        return None
    if column.format == "json":
        # A string may hold JSON already (exports of warehouses write it so); `checking` parses it.
        return value if isinstance(value, str) else _dump(value)
    if isinstance(value, _Number):
        return value.text
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    kind = "an object" if isinstance(value, dict) else "a list"
    raise ValueError(f"{kind} where {column.data_type} is declared")


# Parquet --------------------------------------------------------------------------------------


def _read_parquet(path: Path, table: Table, facts: Facts, reading: Reading) -> Iterator[Chunk]:
    if not (facts.head.startswith(b"PAR1") and facts.tail.endswith(b"PAR1")):
        raise Refused("not_parquet", "no complete Parquet file (its end mark is missing)")
    connection = duckdb.connect()
    try:
        connection.execute("set TimeZone = 'UTC'; set threads = 2")
        source = (
            f"read_parquet('{str(path).replace(chr(39), chr(39) * 2)}', binary_as_string = true)"
        )
        kinds = {
            row[0]: str(row[1]) for row in connection.execute(f"describe from {source}").fetchall()
        }
        select = text_select(kinds, table, reading)
        batches = connection.execute(f"select {select} from {source}").to_arrow_reader(CHUNK_ROWS)
        row = 0
        for batch in batches:
            yield text_chunk(batch, row, table)
            row += batch.num_rows
    except duckdb.Error as error:
        raise Refused(
            "not_parquet", f"the Parquet file cannot be read ({type(error).__name__})"
        ) from error
    finally:
        connection.close()


def text_select(kinds: Mapping[str, str], table: Table, reading: Reading) -> str:
    """The select list that turns typed columns into text; unknown ones get the prefix `?`."""
    names = list(kinds)
    matched = _match(names, table)
    _missing(matched, table, reading)
    reading.tell_unknown(name for name in names if name not in matched)
    parts = []
    for name, kind in kinds.items():
        nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "LIST"))
        declared = matched.get(name)
        if declared and nested and table.column(declared).format != "json":
            raise Refused("type", f"column {name} is nested ({kind.split('(')[0].lower()})")
        text = f"to_json({quoted(name)})" if nested else quoted(name)
        parts.append(f"cast({text} as varchar) as {quoted(declared or '?' + name)}")
    return ", ".join(parts)


def text_chunk(batch: pa.RecordBatch, offset: int, table: Table) -> Chunk:
    """A batch of text columns as a chunk; its rows count on from `offset`."""
    found = {
        name: _normal(column.to_pylist())
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    count = batch.num_rows
    columns = _complete({n: v for n, v in found.items() if not n.startswith("?")}, table, count)
    unknown = {name[1:]: values for name, values in found.items() if name.startswith("?")}
    extra = _extras(unknown, count)

    def raw(position: int) -> str:
        shown = {name: values[position] for name, values in columns.items()}
        return _printable(_dump({name: value for name, value in shown.items() if value}))

    bad: dict[int, Fault] = {}
    for name, values in columns.items():
        for position, value in enumerate(values):
            if value is None or (len(value) <= FIELD_LIMIT and "\0" not in value):
                continue
            rule = "nul" if len(value) <= FIELD_LIMIT else "field_too_long"
            message = (
                "the field holds a NUL character"
                if rule == "nul"
                else f"the field has {len(value):,} characters; at most {FIELD_LIMIT:,} are taken"
            )
            fault = Fault(offset + position + 1, name, rule, message, raw(position))
            bad.setdefault(position, fault)
    if not bad:
        return Chunk(columns, range(offset + 1, offset + count + 1), extra, raw)
    kept = [position for position in range(count) if position not in bad]
    return Chunk(
        {name: [values[at] for at in kept] for name, values in columns.items()},
        [offset + at + 1 for at in kept],
        [extra[at] for at in kept],
        lambda at: raw(kept[at]),
        list(bad.values()),
    )
