"""What a landing did, per table, in numbers and messages that hold no personal data."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.landing.declarations import Table
from orchestration.landing.readers import Fault

SAMPLE_ROWS = 50_000
SAMPLE_MESSAGES = 20
_SAMPLED_CHARACTERS = 200


@dataclass(frozen=True)
class FileResult:
    """One file (or connector table) of one landing."""

    source: str
    table: str
    file: str
    status: str
    landed: int = 0
    loaded: int = 0
    rejected: int = 0
    duplicate: int = 0
    # Rows of erased people, left out by their tombstones.
    suppressed: int = 0
    unknown_columns: tuple[str, ...] = ()
    rule: str | None = None
    message: str | None = None
    size: int = 0

    @property
    def text(self) -> str:
        """The line a person reads."""
        rule = f" [{self.rule}]" if self.rule else ""
        return f"{self.source}/{self.file}: {self.message or self.status}{rule}"


@dataclass(frozen=True)
class Rejection:
    """One rejected row, told without its values."""

    file: str
    row: int
    column: str | None
    rule: str


class Sample:
    """A bounded, repeatable sample of the text that was read: every n-th row, n doubling."""

    def __init__(self, limit: int = SAMPLE_ROWS) -> None:
        self.limit = limit
        self.step = 1
        self.seen = 0
        self.kept: list[pa.Table] = []

    def add(self, text: pa.Table) -> None:
        first = -self.seen % self.step
        self.seen += text.num_rows
        self._keep(text, first)
        while sum(part.num_rows for part in self.kept) > self.limit:
            self.step *= 2
            whole = pa.concat_tables(self.kept)
            self.kept = []
            self._keep(whole, 0, 2)

    def _keep(self, text: pa.Table, first: int, step: int | None = None) -> None:
        wanted = list(range(first, text.num_rows, step or self.step))
        if wanted:
            self.kept.append(text.take(wanted) if len(wanted) < text.num_rows else text)

    def table(self) -> pa.Table | None:
        return pa.concat_tables(self.kept) if self.kept else None


@dataclass
class TableResult:
    """One table of one landing."""

    source: str
    table: str
    files: list[FileResult] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    rules: dict[str, int] = field(default_factory=dict)
    sample: Sample = field(default_factory=Sample)

    def _count(self, name: str) -> int:
        return sum(getattr(file, name) for file in self.files)

    @property
    def landed(self) -> int:
        return self._count("landed")

    @property
    def loaded(self) -> int:
        return self._count("loaded")

    @property
    def rejected(self) -> int:
        return self._count("rejected")

    @property
    def duplicate(self) -> int:
        return self._count("duplicate")

    @property
    def suppressed(self) -> int:
        return self._count("suppressed")

    @property
    def refused(self) -> list[FileResult]:
        return [file for file in self.files if file.status == "refused"]

    @property
    def unknown_columns(self) -> list[str]:
        return sorted({name for file in self.files for name in file.unknown_columns})

    def as_dict(self) -> dict[str, Any]:
        return {
            "files": sum(file.status in ("loaded", "duplicate") for file in self.files),
            "landed": self.landed,
            "loaded": self.loaded,
            "rejected": self.rejected,
            "duplicate": self.duplicate,
            "suppressed": self.suppressed,
            "refused": [file.text for file in self.refused],
            "waiting": [file.text for file in self.files if file.status == "waiting"],
            "messages": [
                file.text for file in self.files if file.message and file.status != "refused"
            ],
            "unknown_columns": self.unknown_columns,
            "rejected_by_rule": dict(sorted(self.rules.items())),
            "rejected_rows": [vars(rejection) for rejection in self.rejections],
        }


@dataclass
class LandingReport:
    """One landing."""

    tables: dict[tuple[str, str], TableResult] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def of(self, source: str, table: str) -> TableResult:
        """The result of one table, made when first asked for."""
        return self.tables.setdefault((source, table), TableResult(source, table))

    def __iter__(self) -> Iterator[TableResult]:
        return iter(self.tables.values())

    @property
    def landed(self) -> int:
        return sum(table.landed for table in self)

    @property
    def loaded(self) -> int:
        return sum(table.loaded for table in self)

    @property
    def rejected(self) -> int:
        return sum(table.rejected for table in self)

    @property
    def duplicate(self) -> int:
        return sum(table.duplicate for table in self)

    @property
    def suppressed(self) -> int:
        return sum(table.suppressed for table in self)

    @property
    def refused(self) -> list[FileResult]:
        return [file for table in self for file in table.refused]

    @property
    def changed(self) -> bool:
        """Whether the warehouse holds rows or loads that it did not hold before."""
        return any(file.status in ("loaded", "duplicate") for table in self for file in table.files)

    def as_dict(self) -> dict[str, Any]:
        return {
            "landed": self.landed,
            "loaded": self.loaded,
            "rejected": self.rejected,
            "duplicate": self.duplicate,
            "suppressed": self.suppressed,
            "refused": [file.text for file in self.refused],
            "ignored": list(self.ignored),
            "tables": {
                f"{table.source}.{table.table}": table.as_dict() for table in self if table.files
            },
        }


def note(
    rules: dict[str, int],
    rejections: list[Rejection],
    result: TableResult,
    file: str,
    fault: Fault,
) -> None:
    """Count a fault by rule and keep the first few for the report."""
    rules[fault.rule] = rules.get(fault.rule, 0) + 1
    if len(result.rejections) + len(rejections) < SAMPLE_MESSAGES:
        rejections.append(Rejection(file, fault.row, fault.column, fault.rule))


def sampled(text: pa.Table, table: Table) -> pa.Table:
    """The declared columns of the text that was read, JSON cut short."""
    columns = {}
    for column in table.columns:
        values = text.column(column.name)
        if column.format == "json":
            values = pc.utf8_slice_codeunits(values, 0, _SAMPLED_CHARACTERS)
        columns[column.name] = values
    return pa.table(columns)
