"""The warehouse in one DuckDB file: one writer, times in UTC."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from orchestration.errors import LockHeld
from orchestration.warehouse.base import quoted

_INCOMING = "incoming_rows"


class DuckDbWarehouse:
    """A connection to `warehouse.duckdb`; use it as a context manager."""

    engine = "duckdb"

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = duckdb.connect(str(path), read_only=read_only)
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise
            raise LockHeld(
                f"{path.name} is open in another process. Wait for it to end, or close the "
                "tool that reads the file (BI tools read published/cdp.duckdb instead)."
            ) from error
        self.path = path
        self.connection.execute("set TimeZone = 'UTC'")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; another process may open it afterwards."""
        self.connection.close()

    def place(self, schema: str, table: str, *, foreign: bool = False) -> str:
        return f"{quoted(schema)}.{quoted(table)}"

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement of DuckDB's own for its effect."""
        self.connection.execute(statement, parameters or None)

    def rows(self, query: str, parameters: Sequence[str | int] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters or None).fetchall()

    def query(self, query: str) -> pa.Table:
        return self.connection.execute(query).to_arrow_table()

    def batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        cursor = self.connection.cursor()
        try:
            cursor.execute("set TimeZone = 'UTC'")
            yield from cursor.execute(query).to_arrow_reader(size)
        finally:
            cursor.close()

    def append(self, schema: str, table: str, data: pa.Table) -> None:
        if data.num_rows == 0:
            return
        with self.visiting(_INCOMING, data):
            self.connection.execute(
                f"insert into {self.place(schema, table)} by name select * from {_INCOMING}"
            )

    def replace(self, schema: str, table: str, data: pa.Table) -> None:
        self.connection.execute(f"delete from {self.place(schema, table)}")
        self.append(schema, table, data)

    def export_parquet(self, query: str, path: Path) -> None:
        escaped = str(path).replace("'", "''")
        self.connection.execute(f"copy ({query}) to '{escaped}' (format parquet)")

    def columns(self, schema: str, table: str, *, foreign: bool = False) -> dict[str, str]:
        found = self.connection.execute(
            "select column_name, data_type from information_schema.columns "
            "where table_catalog = current_database() and table_schema = ? and table_name = ? "
            "order by ordinal_position",
            [schema, table],
        ).fetchall()
        return dict(found)

    def ensure_table(self, schema: str, table: str, columns: Mapping[str, str]) -> None:
        listed = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
        place = self.place(schema, table)
        self.connection.execute(f"create schema if not exists {quoted(schema)}")
        self.connection.execute(f"create table if not exists {place} ({listed})")
        described = self.connection.execute(f"describe {place}").fetchall()
        existing = {str(row[0]).lower() for row in described}
        for name, kind in columns.items():
            if name.lower() not in existing:
                self.connection.execute(f"alter table {place} add column {quoted(name)} {kind}")

    def clear_leftovers(self, schemas: Iterable[str]) -> None:
        """Nothing to do: a table is in the file or it is not."""

    def recover(self) -> None:
        """Nothing to do: DuckDB's own log does it when the file is opened."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.connection.execute("begin transaction")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    @contextmanager
    def visiting(self, name: str, data: pa.Table) -> Iterator[None]:
        self.connection.register(name, data)
        try:
            yield
        finally:
            self.connection.unregister(name)
