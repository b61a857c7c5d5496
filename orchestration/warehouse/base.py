"""The seam between Python steps and the engine that holds the warehouse."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa


def quoted(name: str) -> str:
    """A name as an SQL identifier; declared names may be words such as `order`."""
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, table: str) -> str:
    """`"schema"."table"`."""
    return f"{quoted(schema)}.{quoted(table)}"


class Warehouse(Protocol):
    """What landing, matching and prediction need; data crosses it as Arrow or Parquet.

    Statements given to it stay within the SQL that every engine takes, so that a Spark side
    needs these methods and nothing else.
    """

    engine: str

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement for its effect."""

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """A small answer as tuples."""

    def query(self, query: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """An answer as an Arrow table."""

    def batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        """A large committed answer in batches; other statements may run between them."""

    def append(self, schema: str, table: str, data: pa.Table) -> None:
        """Append rows; columns are matched by name and absent ones stay null."""

    def replace(self, schema: str, table: str, data: pa.Table) -> None:
        """Make the table anew from the rows."""

    def export_parquet(self, query: str, path: Path) -> None:
        """Write an answer to one Parquet file."""

    def columns(self, schema: str, table: str) -> dict[str, str]:
        """Column names and types in order; empty where the table does not exist."""

    def ensure_table(self, schema: str, table: str, columns: Mapping[str, str]) -> None:
        """Create the table, or add the columns it lacks; never drops or retypes one."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing for the statements within."""
