"""Give text columns their declared types and find the rows that break a rule.

One set-based statement per chunk, in a DuckDB of its own: the rows come out the same whichever
engine holds the warehouse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from orchestration.landing.declarations import Column, DeclarationError, Table
from orchestration.landing.readers import CanonicalJson, Chunk, Fault, canonical_json
from orchestration.warehouse.base import quoted

# Dates outside are typing errors or "no end" marks such as 9999-12-31, never a customer's day.
EARLIEST = "1900-01-01"
LATEST = "2100-01-01"

DATE_SHAPE = r"\d{4}-\d{2}-\d{2}([T ]00:00(:00(\.0+)?)?)?"
PLAIN_TIME_SHAPE = r"\d{4}-\d{2}-\d{2}([T ]\d{1,2}:\d{2}:\d{2}(\.\d{1,9})?)?"
TIME_SHAPE = (
    r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s?([Zz]|UTC|[+-]\d{2}(:?\d{2})?)?)?"
)
EPOCH_SHAPE = r"\d{1,14}"
INTEGER_SHAPE = r"[+-]?\d+(\.0*)?"
NUMBER_SHAPE = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
TRUE = ("true", "t", "1", "yes", "y")
FALSE = ("false", "f", "0", "no", "n")

_SHOWN = 60


@dataclass(frozen=True)
class Load:
    """What every row of one file's load carries."""

    load_id: int
    file: str
    loaded_at: datetime
    as_of: date


@dataclass(frozen=True)
class Checked:
    """The good rows of a chunk, typed and complete, and the faults of the others."""

    good: pa.Table
    good_counts: list[int]
    faults: list[tuple[int, Fault]]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Checker:
    """Checks chunks of one table; a context manager around its own in-memory DuckDB."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.connection = duckdb.connect(config={"threads": 2})
        self.connection.execute("set TimeZone = 'UTC'; set preserve_insertion_order = true")
        self.json_columns = [column for column in table.columns if column.format == "json"]
        self.statement = self._statement()
        self._probe_rules()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    def check(self, chunks: Sequence[tuple[Load, Chunk]]) -> tuple[Checked, pa.Table]:
        """Check the rows of some files at once; also gives the text that was read."""
        text = pa.concat_tables(
            [self._arrow(number, load, chunk) for number, (load, chunk) in enumerate(chunks)]
        )
        self.connection.register("chunk_text", text)
        try:
            self.connection.execute(f"create or replace temp table checked as {self.statement}")
        except duckdb.Error as error:
            raise DeclarationError(
                f"{self.table.label}: the declared rules cannot be evaluated: "
                f"{str(error).splitlines()[0]}"
            ) from error
        finally:
            self.connection.unregister("chunk_text")
        names = ", ".join(quoted(column.name) for column in self.table.columns)
        good = self.connection.execute(
            f"select {names}, _file, _row, _load_id, _content_hash, _extra, _loaded_at, "
            "_landed_as_of from checked where _faults is null order by _chunk, _position"
        ).to_arrow_table()
        broken = self.connection.execute(
            "select _chunk, _position, _faults from checked where _faults is not null "
            "order by _chunk, _position"
        ).fetchall()
        good_counts = [len(chunk.rows) for _, chunk in chunks]
        for number, _, _ in broken:
            good_counts[number] -= 1
        faults = [
            (number, fault) for number, (_, chunk) in enumerate(chunks) for fault in chunk.faults
        ]
        faults += [
            (number, self._fault(chunks[number][1], position, codes))
            for number, position, codes in broken
        ]
        faults.sort(key=lambda item: (item[0], item[1].row))
        return Checked(good, good_counts, faults), text

    def _arrow(self, number: int, load: Load, chunk: Chunk) -> pa.Table:
        count = len(chunk.rows)
        arrays: dict[str, pa.Array] = {}
        for column in self.table.columns:
            values = chunk.columns[column.name]
            arrays[column.name] = pa.array(values, pa.string())
            if column.format == "json":
                spelt, wrong = _json_values(values)
                arrays[column.name] = pa.array(spelt, pa.string())
                arrays["?" + column.name] = pa.array(wrong, pa.bool_())
        arrays["_extra"] = pa.array(chunk.extra, pa.string())
        arrays["_row"] = pa.array(chunk.rows, pa.int64())
        arrays["_position"] = pa.array(range(count), pa.int64())
        arrays["_chunk"] = pa.array([number] * count, pa.int32())
        arrays["_file"] = pa.array([load.file] * count, pa.string())
        arrays["_load_id"] = pa.array([load.load_id] * count, pa.int64())
        arrays["_loaded_at"] = pa.array([load.loaded_at] * count, pa.timestamp("us"))
        arrays["_landed_as_of"] = pa.array([load.as_of] * count, pa.date32())
        return pa.table(arrays)

    # The statement --------------------------------------------------------------------------

    def _statement(self) -> str:
        columns = self.table.columns
        texts = ", ".join(f"nullif({quoted(c.name)}, '') as t{i}" for i, c in enumerate(columns))
        marks = "".join(
            f", {quoted('?' + c.name)} as j{i}" for i, c in enumerate(columns) if c.format == "json"
        )
        typed = ", ".join(f"{_cast(c, f't{i}')} as {quoted(c.name)}" for i, c in enumerate(columns))
        tests = [test for i, column in enumerate(columns) for test in _tests(column, i)]
        tests += [
            (f"(not ({rule.expression}))", f"r{i}") for i, rule in enumerate(self.table.rules)
        ]
        any_fault = " or ".join(f"coalesce({test}, false)" for test, _ in tests) or "false"
        listed = ", ".join(f"case when {test} then '{code}' end" for test, code in tests)
        codes = f"list_filter([{listed}], lambda code: code is not null)" if tests else "null"
        hashed = " || ".join(
            f"coalesce({_literal('|' + c.name + '=')} || length({text}) || ':' || {text}, '')"
            for c, text in ((c, _canonical(c)) for c in sorted(columns, key=lambda c: c.name))
        )
        internals = "_file, _row, _load_id, _extra, _loaded_at, _landed_as_of, _chunk, _position"
        names = ", ".join(quoted(column.name) for column in columns)
        return f"""
            with texts as (select {texts}{marks}, {internals} from chunk_text),
            typed as (select *, {typed} from texts)
            select
                {names}, {internals},
                md5({hashed}) as _content_hash,
                case when {any_fault} then {codes} end as _faults
            from typed
        """

    def _probe_rules(self) -> None:
        """A rule that names no column fails here, before a file is opened."""
        for rule in self.table.rules:
            declared = ", ".join(
                f"null::{column.sql_type} as {quoted(column.name)}" for column in self.table.columns
            )
            try:
                self.connection.execute(f"select not ({rule.expression}) from (select {declared})")
            except duckdb.Error as error:
                raise DeclarationError(
                    f"{self.table.label}: rule {rule.name} is no expression over its columns: "
                    f"{str(error).splitlines()[0]}"
                ) from error

    # Messages -------------------------------------------------------------------------------

    def _fault(self, chunk: Chunk, position: int, codes: list[str]) -> Fault:
        said = [self._say(code, chunk, position) for code in codes]
        column, rule, _ = said[0]
        message = "; ".join(f"{where}: {text}" if where else text for where, _, text in said)
        return Fault(chunk.rows[position], column, rule, message, chunk.raw(position))

    def _say(self, code: str, chunk: Chunk, position: int) -> tuple[str | None, str, str]:
        number, _, rule = code[1:].partition(":")
        if code[0] == "r":
            declared = self.table.rules[int(number)]
            return declared.column, declared.name, declared.message
        column = self.table.columns[int(number)]
        value = chunk.columns[column.name][position]
        if column.contains_pii or value is None:
            shown = "the value"
        else:
            shown = repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
        text = {
            "required": "required, but empty",
            "type": f"{shown} is no {_noun(column)}",
            "json": "no valid JSON",
            "date_out_of_range": f"{shown} lies outside {EARLIEST} to {LATEST}",
            "accepted_values": f"{shown} is not accepted ({_choices(column)})",
            "range": f"{shown} is {_bounds(column)}",
        }[rule]
        return column.name, rule, text


def _json_values(
    values: Sequence[str | None],
) -> tuple[list[str | None], list[bool]]:
    """JSON columns in one spelling, and which of them are no JSON."""
    spelt: list[str | None] = []
    wrong: list[bool] = []
    for value in values:
        if type(value) is CanonicalJson:
            spelt.append(value)
            wrong.append(False)
            continue
        try:
            spelt.append(canonical_json(value) if value else None)
            wrong.append(False)
        except ValueError:
            spelt.append(value)
            wrong.append(True)
    return spelt, wrong


def _cast(column: Column, text: str) -> str:
    """The typed value, or null where the text is not of the type."""
    trimmed = f"trim({text})"
    if column.is_text:
        return text
    if column.data_type == "boolean":
        return (
            f"case when lower({trimmed}) in {TRUE} then true "
            f"when lower({trimmed}) in {FALSE} then false end"
        )
    if column.data_type == "date":
        return (
            f"case when regexp_full_match({trimmed}, '{DATE_SHAPE}') "
            f"then try_cast({trimmed}[:10] as date) end"
        )
    if column.format == "epoch_milliseconds":
        return (
            f"case when regexp_full_match({trimmed}, '{EPOCH_SHAPE}') "
            f"then make_timestamp_ms(cast({trimmed} as bigint)) end"
        )
    if column.data_type == "timestamp":
        # A plain cast to timestamp ignores the offset; through timestamptz it is applied. DuckDB
        # wants seconds before an offset and no space.
        tidy = f"replace(upper({trimmed}), 'UTC', 'Z')"
        tidy = rf"regexp_replace({tidy}, '(\d)\s([Z+-])', '\1\2')"
        tidy = rf"regexp_replace({tidy}, '^(.{{16}})([Z+-].*)$', '\1:00\2')"
        return (
            f"case when regexp_full_match({trimmed}, '{PLAIN_TIME_SHAPE}') "
            f"then try_cast({trimmed} as timestamp) "
            f"when regexp_full_match({trimmed}, '{TIME_SHAPE}') "
            f"then try_cast({tidy} as timestamptz) at time zone 'UTC' end"
        )
    if column.data_type == "bigint":
        return (
            f"case when regexp_full_match({trimmed}, '{INTEGER_SHAPE}') "
            f"then try_cast({trimmed} as bigint) end"
        )
    number = f"try_cast({trimmed} as {column.sql_type})"
    if column.data_type == "double":
        finite = f"isfinite(try_cast({trimmed} as double))"
        shaped = f"regexp_full_match({trimmed}, '{NUMBER_SHAPE}')"
        return f"case when {shaped} and {finite} then {number} end"
    # DuckDB casts 6e-10 to a decimal of 0.0001; through a double it does not.
    powers = f"try_cast(try_cast({trimmed} as double) as {column.sql_type})"
    number = f"case when lower({trimmed}) like '%e%' then {powers} else {number} end"
    return f"case when regexp_full_match({trimmed}, '{NUMBER_SHAPE}') then {number} end"


def _tests(column: Column, index: int) -> list[tuple[str, str]]:
    """(condition that is true for a bad value, code of the rule) in the order they are told."""
    text, value = f"t{index}", quoted(column.name)
    tests: list[tuple[str, str]] = []

    def add(condition: str, rule: str) -> None:
        tests.append((f"({condition})", f"c{index}:{rule}"))

    if column.required:
        add(f"{text} is null" if column.is_text else f"trim(coalesce({text}, '')) = ''", "required")
    if column.format == "json":
        add(f"j{index}", "json")
    given = f"trim({text}) <> ''"
    if column.is_time:
        year = f"try_cast(regexp_extract({text}, '^\\s*(\\d{{4}})-', 1) as integer)"
        early = f"{value} < timestamp '{EARLIEST}' or {value} >= timestamp '{LATEST}'"
        far = f"({value} is null and ({year} < 1900 or {year} >= 2100))"
        add(f"{early} or {far}", "date_out_of_range")
        add(f"{given} and {value} is null and not coalesce({far}, false)", "type")
    elif not column.is_text:
        add(f"{given} and {value} is null", "type")
    if column.accepted:
        listed = ", ".join(_literal(accepted) for accepted in column.accepted)
        add(f"{text} not in ({listed})", "accepted_values")
    elif column.seed:
        add(f"{text} is not null", "accepted_values")
    if column.minimum is not None:
        add(f"{value} < {column.minimum}", "range")
    if column.maximum is not None:
        add(f"{value} > {column.maximum}", "range")
    return tests


def _canonical(column: Column) -> str:
    """The text that is hashed: the same for equal values, however they were written."""
    name = quoted(column.name)
    if column.data_type == "timestamp":
        return f"strftime({name}, '%Y-%m-%d %H:%M:%S.%f')"
    return name if column.is_text else f"cast({name} as varchar)"


def _noun(column: Column) -> str:
    if column.format == "epoch_milliseconds":
        return "time in milliseconds since 1970"
    return {
        "bigint": "whole number (bigint)",
        "double": "number",
        "boolean": "true or false (boolean)",
        "date": "date (YYYY-MM-DD)",
        "timestamp": "timestamp (YYYY-MM-DD HH:MM:SS, or ISO 8601)",
    }.get(column.data_type, f"number that fits {column.data_type}")


def _choices(column: Column) -> str:
    if column.seed:
        return f"seed {column.seed}"
    return ", ".join(column.accepted)


def _bounds(column: Column) -> str:
    low, high = column.minimum, column.maximum
    if low is not None and high is not None:
        return f"not between {low} and {high}"
    return f"below {low}" if low is not None else f"above {high}"
