"""The seam between Python steps and the engine that holds the warehouse."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa


def quoted(name: str) -> str:
    """A name as an identifier of DuckDB's SQL; declared names may be words such as `order`."""
    return '"' + name.replace('"', '""') + '"'


class Warehouse(Protocol):
    """What landing, matching, prediction and publishing need of an engine.

    Rows cross it as Arrow or Parquet. Queries given to it name tables by `place` and stay
    within the SQL that both engines take. It is a context manager that closes itself.
    """

    engine: str

    def place(self, schema: str, table: str, *, foreign: bool = False) -> str:
        """A table's name as this engine's SQL spells it.

        A foreign schema is another tool's: it has not the prefix of this installation.
        """

    def rows(self, query: str, parameters: Sequence[str | int] = ()) -> list[tuple[Any, ...]]:
        """A small answer as tuples; each `?` stands for a parameter."""

    def query(self, query: str) -> pa.Table:
        """An answer as an Arrow table, times in UTC."""

    def batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        """A large committed answer in batches; other statements may run between them."""

    def append(self, schema: str, table: str, data: pa.Table) -> None:
        """Append rows; columns are matched by name and absent ones stay null."""

    def replace(self, schema: str, table: str, data: pa.Table) -> None:
        """Put the rows in the place of all that a table held."""

    def visiting(self, name: str, data: pa.Table) -> AbstractContextManager[None]:
        """Rows that queries of this connection may read by a bare name, for a block."""

    def export_parquet(self, query: str, path: Path) -> None:
        """Write an answer to one Parquet file, times in UTC without a zone."""

    def columns(self, schema: str, table: str, *, foreign: bool = False) -> dict[str, str]:
        """Column names and types in order; empty where the table does not exist."""

    def ensure_table(self, schema: str, table: str, columns: Mapping[str, str]) -> None:
        """Create the table, or add the columns it lacks; never drops or retypes one."""

    def clear_leftovers(self, schemas: Iterable[str]) -> None:
        """Remove what a build that died left in the way of the next; the lock is held."""

    def recover(self) -> None:
        """Finish or undo what a transaction that died left; the caller holds the home's lock."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing for the appends and replacements within.

        Appended rows may be read within it, replaced ones only after it.
        """

    def close(self) -> None:
        """Let go of the engine."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
