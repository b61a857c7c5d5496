"""How rows reach the landing folder: periods, lateness, repeats, broken rows, safe file names."""

import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def milliseconds(day: date) -> int:
    """Midnight UTC of a day since 1970 in milliseconds, the unit of every time in here."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def months_before(day: date, months: int) -> date:
    """The same day so many months earlier, the first of the month if the day is not in it."""
    index = day.year * 12 + day.month - 1 - months
    try:
        return date(index // 12, index % 12 + 1, day.day)
    except ValueError:
        return date(index // 12, index % 12 + 1, 1)


@dataclass(frozen=True)
class Periods:
    """Consecutive stretches of time, one file each."""

    starts: Ints
    names: tuple[str, ...]
    end: int

    def of(self, times: Ints) -> Ints:
        return np.searchsorted(self.starts, times, side="right").astype(np.int64) - 1


@dataclass(frozen=True)
class History:
    """The stretch that the sample tells of: it ends with the day before `as_of`."""

    as_of: date
    months: int
    daily_days: int

    @property
    def start(self) -> int:
        return milliseconds(months_before(self.as_of, self.months))

    @property
    def end(self) -> int:
        return milliseconds(self.as_of)

    def _periods(self, first: Callable[[date], date], name: Callable[[date], str]) -> Periods:
        day, last = months_before(self.as_of, self.months), self.as_of - timedelta(days=1)
        starts: list[date] = []
        while day <= last:
            if not starts or first(day) != starts[-1]:
                starts.append(first(day))
            day += timedelta(days=1)
        array = np.array([milliseconds(d) for d in starts], dtype=np.int64)
        return Periods(array, tuple(name(d) for d in starts), self.end)

    def by_month(self) -> Periods:
        return self._periods(lambda d: d.replace(day=1), lambda d: f"{d:%Y-%m}")

    def by_quarter(self) -> Periods:
        """Quarters, for the small tables: the number of files stays small too."""
        return self._periods(
            lambda d: date(d.year, (d.month - 1) // 3 * 3 + 1, 1),
            lambda d: f"{d.year}-Q{(d.month + 2) // 3}",
        )

    def by_half_year(self) -> Periods:
        """Half years, for the many tables of the smaller sources: five files each."""
        return self._periods(
            lambda d: date(d.year, 1 if d.month < 7 else 7, 1),
            lambda d: f"{d.year}-H{1 if d.month < 7 else 2}",
        )

    def by_month_then_day(self) -> Periods:
        """Months, and the latest days one by one."""
        turn = self.as_of - timedelta(days=self.daily_days)
        return self._periods(
            lambda d: d if d >= turn else d.replace(day=1),
            lambda d: f"{d:%Y-%m-%d}" if d >= turn else f"{d:%Y-%m}",
        )


@dataclass(frozen=True)
class Plan:
    """Which row arrives when and in which period's file; `broken` rows are corrupted copies."""

    row: Ints
    period: Ints
    delivered: Ints
    broken: Flags

    def __len__(self) -> int:
        return len(self.row)


def plan_delivery(
    rng: np.random.Generator,
    times: Ints,
    periods: Periods,
    rates: dict[str, float],
    group: Ints | None = None,
    repeats: bool = True,
) -> Plan:
    """Assign rows to files by their own time, then make some late, repeated or broken.

    `group` keeps the rows of one document together when they are late. `repeats=False` is for
    tables in which an equal row is a row of its own, so that a repeat would be a false sale.
    """
    total = len(times)
    period = periods.of(times)
    delivered = np.minimum(times + rng.integers(MINUTE, 6 * HOUR, total), periods.end - 1000)
    next_start = np.append(periods.starts[1:], periods.end)
    last = len(periods.names) - 1

    units = np.arange(total) if group is None else group
    _, first_row, unit = np.unique(units, return_index=True, return_inverse=True)
    able = np.flatnonzero(period[first_row] < last)
    wanted = min(math.ceil(rates["late"] * len(first_row)), len(able))
    chosen = rng.choice(able, wanted, replace=False, shuffle=False)
    late_unit = np.zeros(len(first_row), dtype=bool)
    late_unit[chosen] = True
    late = late_unit[unit]
    # All rows of a late document travel together, so the draw is per unit.
    step = (1 + (rng.random(len(first_row)) < 0.25))[unit]
    share = rng.random(len(first_row))[unit]
    period = np.where(late, np.minimum(period + step, last), period)
    arrival = periods.starts[period] + HOUR
    room = np.maximum(next_start[period] - arrival, 1)
    delivered = np.where(late, arrival + (share * room).astype(np.int64), delivered)
    delivered = np.minimum(delivered, periods.end - 1000)

    row = np.arange(total, dtype=np.int64)
    extra = rng.choice(total, math.ceil(rates["duplicate"] * total) if repeats else 0, False)
    # Half of the repeats are the very same bytes, half are a retry of some hours later.
    again = delivered[extra] + rng.integers(0, 2, len(extra)) * rng.integers(
        MINUTE, 6 * HOUR, len(extra)
    )
    bad = rng.choice(total, max(round(rates["malformed"] * total), 1) if total >= 500 else 0, False)
    row = np.concatenate([row, extra, bad])
    broken = np.zeros(len(row), dtype=bool)
    broken[total + len(extra) :] = True
    period = np.concatenate([period, period[extra], period[bad]])
    delivered = np.concatenate([delivered, np.minimum(again, periods.end - 1000), delivered[bad]])
    order = np.lexsort((row, delivered, period))
    return Plan(row[order], period[order], delivered[order], broken[order])


@dataclass
class Output:
    """Writes the files; counts the rows; collects the truth of the records."""

    landing: Path
    truth: Path
    connection: duckdb.DuckDBPyConnection
    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    _records: IO[bytes] | None = None

    def render(self, sql: str, **tables: pa.Table) -> pa.Table:
        """The words for the numbers: a query over Arrow tables, in their row order."""
        for name, table in tables.items():
            self.connection.register(name, table)
        result = self.connection.sql(sql).to_arrow_table()
        for name in tables:
            self.connection.unregister(name)
        return result

    def write(self, source: str, table: str, name: str, body: Callable[[IO[bytes]], None]) -> Path:
        """One file, complete or absent: landing must never read half of it."""
        folder = self.landing / source / table
        folder.mkdir(parents=True, exist_ok=True)
        temporary, final = folder / f".{name}.part", folder / name
        with temporary.open("wb") as file:
            body(file)
        temporary.replace(final)
        self.files += 1
        return final

    def write_copy(self, original: Path, name: str) -> None:
        """The same bytes once more under another name, as an operator's second upload."""
        temporary = original.with_name(f".{name}.part")
        shutil.copyfile(original, temporary)
        temporary.replace(original.with_name(name))
        self.files += 1

    def count(self, source: str, table: str, rows: int) -> None:
        self.rows[f"{source}.{table}"] = self.rows.get(f"{source}.{table}", 0) + rows

    def write_csv_files(
        self,
        source: str,
        table: str,
        words: pa.Table,
        plan: Plan,
        periods: Periods,
        key: str | None = None,
        broken: Sequence[tuple[str, str]] = (),
        oddities: bool = False,
    ) -> None:
        """One CSV per period; `oddities` adds a file out of order and a file sent twice."""
        words = _break_rows(words, plan.broken, key, broken)
        bounds = np.searchsorted(plan.period, np.arange(len(periods.names) + 1))
        odd = odd_periods(periods) if oddities else (-1, -1)
        for index, name in enumerate(periods.names):
            low, high = int(bounds[index]), int(bounds[index + 1])
            if low == high:
                continue
            piece = words.slice(low, high - low)
            # "resent" sorts behind every date, so this period is read after all later ones.
            middle = "resent_" if index == odd[0] else ""
            path = self.write(
                source,
                table,
                f"{table}_{middle}{name}.csv",
                lambda file, piece=piece: write_csv(piece, file),  # type: ignore[misc]
            )
            if index == odd[1]:
                self.write_copy(path, f"{table}_copy_{name}.csv")
                self.count(source, table, high - low)
        self.count(source, table, len(plan))

    def record(self, source: str, table: str, keys: pa.Array, person: Ints) -> None:
        """Remember who is behind each record; written in pieces, for there may be millions."""
        if self._records is None:
            self._records = (self.truth / "records.csv").open("wb")
            self._records.write(b"source,table,record_key,person_id\n")
        size = len(person)
        csv.write_csv(
            pa.table(
                {
                    "source": pa.repeat(source, size),
                    "table": pa.repeat(table, size),
                    "record_key": keys,
                    "person_id": person_ids(person),
                }
            ),
            self._records,
            csv.WriteOptions(include_header=False, quoting_style="none"),
        )

    def close(self) -> None:
        if self._records is not None:
            self._records.close()
            self._records = None
        self.connection.close()


def odd_periods(periods: Periods) -> tuple[int, int]:
    """The period whose file comes out of order, and the one whose file comes twice."""
    return len(periods.names) // 3, len(periods.names) // 2


def person_ids(person: Ints) -> pa.Array:
    """`P0000001` for person 0: the truth's own name for a person, used nowhere in landing."""
    digits = pc.utf8_lpad(pa.array(person + 1).cast(pa.string()), 7, "0")
    return pc.binary_join_element_wise("P", digits, "")


def maybe(values: NDArray[Any], present: Flags) -> pa.Array:
    """Values with nulls where they are not present."""
    return pa.array(values, mask=~present)


def write_lines(lines: pa.Table, file: IO[bytes]) -> None:
    """Write the column `line` as it is: every value already ends with a line feed."""
    for chunk in lines["line"].chunks:
        # A copy starts at offset zero and holds nothing but these values.
        offsets, data = chunk.cast(pa.large_string()).buffers()[1:]
        ends = np.frombuffer(offsets, dtype=np.int64)
        start, stop = ends[chunk.offset], ends[chunk.offset + len(chunk)]
        file.write(memoryview(data)[start:stop])


def write_csv(table: pa.Table, file: IO[bytes]) -> None:
    """A CSV without quotes; nulls are empty. A value that would need quotes raises."""
    file.write((",".join(table.column_names) + "\n").encode())
    csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))


def _break_rows(
    words: pa.Table, broken: Flags, key: str | None, choices: Sequence[tuple[str, str]]
) -> pa.Table:
    """Put a wrong value into each broken row, under a key of its own: nothing refers to it."""
    if not choices or not broken.any():
        return words
    turn = np.cumsum(broken) % len(choices)
    for number, (column, value) in enumerate(choices):
        mask = pa.array(broken & (turn == number))
        words = _replace(words, column, pc.if_else(mask, value, words[column]))
    if key:
        other = pc.binary_join_element_wise("9", words[key], "")
        words = _replace(words, key, pc.if_else(pa.array(broken), other, words[key]))
    return words


def _replace(table: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)


PERIOD_IN_NAME = re.compile(r"(\d{4})-(?:H([12])|Q([1-4])|(\d{2})(?:-(\d{2}))?)")


def period_start(file_name: str) -> date:
    """The first day of the period that a file's name tells."""
    found = PERIOD_IN_NAME.search(file_name)
    if found is None:
        raise ValueError(f"no period in the name {file_name}")
    year, half, quarter, month, day = found.groups()
    if half:
        return date(int(year), int(half) * 6 - 5, 1)
    if quarter:
        return date(int(year), int(quarter) * 3 - 2, 1)
    return date(int(year), int(month), int(day or 1))
