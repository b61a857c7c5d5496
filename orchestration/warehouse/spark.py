"""The warehouse on a Spark cluster: statements over its Thrift server, rows as Parquet files.

Spark has no transaction over several tables, and on Parquet no delete. Rows are therefore
written as files of their own into a table's folder, named by the transaction that wrote them,
and a journal beside the tables says what a landing that died had meant: an open one is undone
by removing its files, a committed one is finished. A journal is one small object, so this
holds on every storage that replaces a single object at once.
"""

import json
import posixpath
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq

from orchestration.errors import CdpError

# Folders beside the schemas' own, for each prefix apart: others may use the same storage.
JOURNALS = "_transactions"
EXPORTS = "_exports"
VISITORS = "_visitors"
# What the models' tables are called until they are swapped in (macros/engines/tables.sql).
NEXT = "__next"
# The schema of seeds: all of it is made anew by every build.
SEEDS = "seeds"
# As in profiles.yml; and times in files as every reader knows them.
SESSION = {
    "set:spark.sql.session.timeZone": "UTC",
    "set:spark.sql.ansi.enabled": "true",
    "set:spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
_SIMPLE = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


@dataclass
class _Transaction:
    """The files that a transaction wrote, and what is to take whose place when it ends."""

    name: str
    files: int = 0
    folders: list[str] = field(default_factory=list)
    # By the table's folder: the file that will be its only one.
    replacements: dict[str, str] = field(default_factory=dict)

    def next_file(self) -> str:
        self.files += 1
        return f"{self.name}-{self.files:06d}.parquet"


def storage_of(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system and the folder in it that a URI names, as all workers see it."""
    wrong = CdpError(
        f"CDP_SPARK_STORAGE is {uri!r}; give a URI that this machine and all workers see, "
        "for example file:///mnt/shared/cdp or s3a://bucket/cdp."
    )
    scheme, _, rest = uri.partition("://")
    # What is written with % is a blank or a foreign letter, which Spark does not read so.
    if not rest or "%" in rest:
        raise wrong
    # Spark's names of S3 stand for the library that reaches it.
    scheme = "s3" if scheme in ("s3a", "s3n") else scheme
    try:
        system, root = fs.FileSystem.from_uri(f"{scheme}://{rest}")
    except (pa.ArrowInvalid, OSError) as error:
        raise wrong from error
    return system, root.rstrip("/")


class SparkWarehouse:
    """A session of a Thrift server; use it as a context manager."""

    engine = "spark"

    def __init__(self, host: str, port: int, storage: str, prefix: str = "") -> None:
        self.host = host
        self.port = port
        self.prefix = prefix
        self.uri = storage.rstrip("/")
        self.files, self.root = storage_of(storage)
        self._transaction: _Transaction | None = None
        self._stale: set[str] = set()
        # By the schema's whole name, prefix included.
        self._known: dict[str, set[str]] = {}
        self._described: dict[tuple[str, str], dict[str, str]] = {}
        self._parquet: set[str] = set()
        self.connection = self._connect()

    def _connect(self) -> Any:
        try:
            from pyhive import hive
            from thrift.transport.TTransport import TTransportException
        except ImportError as error:
            raise CdpError("The Spark side is not installed: `pip install '.[spark]'`.") from error
        try:
            return hive.connect(self.host, self.port, username="cdp", configuration=dict(SESSION))
        except (TTransportException, OSError) as error:
            raise CdpError(
                f"No Spark Thrift server answers on {self.host}:{self.port}. Start one "
                "(`cdp spark up` for one on this machine), or set CDP_SPARK_HOST and "
                "CDP_SPARK_PORT."
            ) from error

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
        self.connection.close()

    def place(self, schema: str, table: str, *, foreign: bool = False) -> str:
        return f"{_quoted(self._schema(schema, foreign))}.{_quoted(table)}"

    def _schema(self, schema: str, foreign: bool = False) -> str:
        return schema if foreign else self.prefix + schema

    # Statements -----------------------------------------------------------------------------

    def execute(self, statement: str) -> None:
        """Run a statement of Spark's own for its effect."""
        self._run(statement).close()

    def _run(self, statement: str) -> Any:
        from pyhive import exc

        cursor = self.connection.cursor()
        try:
            cursor.execute(statement)
        except exc.OperationalError as error:
            status = getattr(error.args[0], "status", None) if error.args else None
            told = getattr(status, "errorMessage", None) or str(error)
            raise CdpError(f"Spark refused a statement: {_first_lines(told)}") from error
        return cursor

    def rows(self, query: str, parameters: Sequence[str | int] = ()) -> list[tuple[Any, ...]]:
        self._refresh()
        cursor = self._run(_bound(query, parameters))
        try:
            # The Thrift client hands dates over as text.
            dates = {at for at, each in enumerate(cursor.description) if each[1] == "DATE_TYPE"}
            return [
                tuple(
                    date.fromisoformat(value) if at in dates and value else value
                    for at, value in enumerate(row)
                )
                for row in cursor.fetchall()
            ]
        finally:
            cursor.close()

    def query(self, query: str) -> pa.Table:
        with self._exported(query) as answer:
            return answer.to_table()

    def batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        with self._exported(query) as answer:
            yield from answer.to_batches(batch_size=size)

    def export_parquet(self, query: str, path: Path) -> None:
        with self._exported(query) as answer:
            schema = pa.schema(
                [
                    # A decimal or text as it is; a point in time as UTC without a zone.
                    pa.field(each.name, pa.timestamp("us"))
                    if pa.types.is_timestamp(each.type)
                    else pa.field(each.name, each.type)
                    for each in answer.schema
                ]
            )
            with pq.ParquetWriter(path, schema) as writer:
                for batch in answer.to_batches():
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))

    @contextmanager
    def _exported(self, query: str) -> Iterator[ds.Dataset]:
        """An answer as the Parquet files that the workers wrote, removed after the block."""
        self._refresh()
        name = f"{self.prefix}{EXPORTS}/{uuid.uuid4().hex}"
        self.execute(
            f"insert overwrite directory {_text(f'{self.uri}/{name}')} using parquet {query}"
        )
        folder = posixpath.join(self.root, name)
        try:
            yield ds.dataset(folder, filesystem=self.files, format="parquet")
        finally:
            self.files.delete_dir(folder)

    # Rows -----------------------------------------------------------------------------------

    def append(self, schema: str, table: str, data: pa.Table) -> None:
        if data.num_rows == 0:
            return
        if self._transaction is None:
            with self.transaction():
                self.append(schema, table, data)
            return
        if self._folder(schema, table) in self._transaction.replacements:
            raise RuntimeError("rows appended to a table that the transaction replaces")
        self._write(schema, table, self._transaction.next_file(), data)
        self._stale.add(self.place(schema, table))

    def replace(self, schema: str, table: str, data: pa.Table) -> None:
        if self._transaction is None:
            with self.transaction():
                self.replace(schema, table, data)
            return
        self._refuse_other_format(schema, table)
        name = self._transaction.next_file()
        # Readers pass over names that begin with an underscore.
        self._write(schema, table, f"_{name}", data)
        folder = self._folder(schema, table)
        earlier = self._transaction.replacements.get(folder)
        self._transaction.replacements[folder] = name
        if earlier:
            self.files.delete_file(posixpath.join(folder, f"_{earlier}"))

    def _refuse_other_format(self, schema: str, table: str) -> None:
        """Only a Parquet table is its files; Delta and Iceberg keep a log beside them."""
        place = self.place(schema, table)
        if place not in self._parquet:
            told = {row[0]: row[1] for row in self.rows(f"describe table extended {place}")}
            if str(told.get("Provider", "parquet")).lower() != "parquet":
                raise CdpError(
                    f"{place} is a table in {told['Provider']}, whose rows cannot be replaced from "
                    "here. Use schemas of another CDP_SCHEMA_PREFIX, with a home of their own."
                )
            self._parquet.add(place)

    def _write(self, schema: str, table: str, name: str, data: pa.Table) -> None:
        kinds = self.columns(schema, table)
        wanted = pa.schema([(column, _arrow(kind)) for column, kind in kinds.items()])
        # The catalog knows a column by its name in any case.
        given = {column.lower(): column for column in data.column_names}
        unknown = sorted(set(given) - {column.lower() for column in kinds})
        if unknown:
            raise CdpError(f"{schema}.{table} has no column {', '.join(unknown)}.")
        arrays = [
            data[given[each.name.lower()]].cast(each.type)
            if each.name.lower() in given
            else pa.nulls(data.num_rows, each.type)
            for each in wanted
        ]
        folder = self._folder(schema, table)
        self._intend(folder)
        self.files.create_dir(folder, recursive=True)
        hidden = posixpath.join(folder, f"._{name}.writing")
        pq.write_table(pa.Table.from_arrays(arrays, schema=wanted), hidden, filesystem=self.files)
        self.files.move(hidden, posixpath.join(folder, name))

    def _folder(self, schema: str, table: str) -> str:
        return posixpath.join(self.root, self._schema(schema), table)

    @contextmanager
    def visiting(self, name: str, data: pa.Table) -> Iterator[None]:
        folder = f"{self.prefix}{VISITORS}/{uuid.uuid4().hex}"
        path = posixpath.join(self.root, folder)
        self.files.create_dir(path, recursive=True)
        try:
            file = posixpath.join(path, "rows.parquet")
            pq.write_table(data, file, filesystem=self.files)
            self.execute(
                f"create or replace temporary view {_quoted(name)} using parquet "
                f"options (path {_text(f'{self.uri}/{folder}')})"
            )
            yield
        finally:
            self.execute(f"drop view if exists {_quoted(name)}")
            self.files.delete_dir(path)

    # Tables ---------------------------------------------------------------------------------

    def _tables(self, name: str) -> set[str]:
        """The tables of a schema by its whole name; none where there is no such. Asked for once."""
        if name not in self._known:
            exists = self.rows(f"show schemas like {_text(name)}")
            found = self.rows(f"show tables in {_quoted(name)}") if exists else []
            self._known[name] = {str(row[1]) for row in found}
        return self._known[name]

    def base_tables(self, schema: str) -> list[str]:
        """The tables of a schema that hold rows, without its views."""
        return sorted(self._tables(self._schema(schema)) - self._views(schema))

    def is_empty(self, schema: str, table: str) -> bool:
        """Whether a table's folder is there and holds no file of rows: told without a statement."""
        folder = self._folder(schema, table)
        if self.files.get_file_info(folder).type != fs.FileType.Directory:
            return False
        found = self.files.get_file_info(fs.FileSelector(folder, recursive=True))
        return all(
            info.type != fs.FileType.File or info.base_name.startswith(("_", ".")) for info in found
        )

    def _views(self, schema: str) -> set[str]:
        name = self._schema(schema)
        if not self._tables(name):
            return set()
        return {str(row[1]) for row in self.rows(f"show views in {_quoted(name)}")}

    def drop_but(self, schema: str, kept: Iterable[str]) -> None:
        """Drop a schema's tables, with their files, and its views, but for those named."""
        name, views, kept = self._schema(schema), self._views(schema), set(kept)
        for table in sorted(self._tables(name) - kept):
            kind = "view" if table in views else "table"
            self.execute(f"drop {kind} if exists {self.place(schema, table)}")
            self._described.pop((name, table), None)
        self._known[name] = self._tables(name) & kept

    def columns(self, schema: str, table: str, *, foreign: bool = False) -> dict[str, str]:
        name = self._schema(schema, foreign)
        if (name, table) in self._described:
            return self._described[name, table]
        if table.lower() not in self._tables(name):
            return {}
        columns: dict[str, str] = {}
        for column, kind, *_ in self.rows(f"describe table {_quoted(name)}.{_quoted(table)}"):
            if not column or column.startswith("#"):
                break
            columns[str(column)] = str(kind)
        self._described[name, table] = columns
        return columns

    def ensure_table(self, schema: str, table: str, columns: Mapping[str, str]) -> None:
        wanted = {column: _spelt(kind) for column, kind in columns.items()}
        name, place = self._schema(schema), self.place(schema, table)
        if table.lower() not in self._tables(name):
            location = _text(f"{self.uri}/{name}")
            self.execute(f"create schema if not exists {_quoted(name)} location {location}")
            listed = ", ".join(f"{_quoted(column)} {kind}" for column, kind in wanted.items())
            self.execute(f"create table if not exists {place} ({listed}) using parquet")
            self._known[name].add(table.lower())
            self._described[name, table] = wanted
            return
        existing = {column.lower() for column in self.columns(schema, table)}
        added = {c: kind for c, kind in wanted.items() if c.lower() not in existing}
        if added:
            listed = ", ".join(f"{_quoted(column)} {kind}" for column, kind in added.items())
            self.execute(f"alter table {place} add columns ({listed})")
            self._described.pop((name, table), None)

    def clear_leftovers(self, schemas: Iterable[str]) -> None:
        """Remove what a killed statement left in a folder, where Spark would make no table.

        A folder goes only where the rows of its table are in another one: the catalog's word
        alone is not enough, since a rename that is killed leaves it and the folders apart.
        """
        for schema in schemas:
            tables = self._tables(self._schema(schema))
            # Where the catalog knows nothing of a schema it may be the wrong catalog.
            folders = {
                posixpath.basename(info.path).lower(): info.path
                for info in (self._listed(self._schema(schema)) if tables else ())
                if info.type == fs.FileType.Directory
            }
            for name, path in folders.items():
                if name in tables:
                    continue
                other = name.removesuffix(NEXT) if name.endswith(NEXT) else name + NEXT
                if other in tables and other not in folders:
                    place = posixpath.join(posixpath.dirname(path), other)
                    raise CdpError(
                        f"A build was killed while it renamed {schema}.{other}: its rows are in "
                        f"{path}. Move that folder to {place} and run again."
                    )
                if other in tables or name.endswith(NEXT) or schema == SEEDS:
                    self.files.delete_dir(path)

    def drop_all(self) -> None:
        """Drop every schema of this prefix and all its files: only for a prefix made to be."""
        if not self.prefix:
            raise RuntimeError("all schemas of a cluster are not ours to drop")
        for (name,) in self.rows(f"show schemas like {_text(self.prefix + '*')}"):
            self.execute(f"drop schema {_quoted(name)} cascade")
        for info in self.files.get_file_info(fs.FileSelector(self.root, allow_not_found=True)):
            if info.base_name.startswith(self.prefix) and info.type == fs.FileType.Directory:
                self.files.delete_dir(info.path)
        self._known.clear()
        self._described.clear()

    def _refresh(self) -> None:
        """Tell this session of the files that were put into tables since it last read them."""
        stale, self._stale = sorted(self._stale), set()
        for place in stale:
            self.execute(f"refresh table {place}")

    # Transactions ---------------------------------------------------------------------------

    def recover(self) -> None:
        for info in self._listed(self.prefix + JOURNALS):
            with self.files.open_input_stream(info.path) as stream:
                told = json.loads(stream.read() or b"{}")
            name = posixpath.basename(info.path)
            if told.get("state") == "committed":
                self._put_in_place(told["replacements"])
            else:
                self._undo(name, told.get("folders", []))
            self.files.delete_file(info.path)
        for name in (self.prefix + EXPORTS, self.prefix + VISITORS):
            if self._listed(name):
                self.files.delete_dir_contents(posixpath.join(self.root, name))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._transaction is not None:
            raise RuntimeError("a transaction within a transaction")
        self._transaction = transaction = _Transaction(uuid.uuid4().hex)
        self._journal(transaction.name, {"state": "open", "folders": []})
        try:
            yield
        except BaseException:
            self._transaction = None
            self._undo(transaction.name, transaction.folders)
            self._end(transaction.name)
            raise
        self._transaction = None
        if transaction.replacements:
            committed = {"state": "committed", "replacements": transaction.replacements}
            self._journal(transaction.name, committed)
            self._put_in_place(transaction.replacements)
        self._end(transaction.name)

    def _intend(self, folder: str) -> None:
        """Note a folder before the first file is written to it, so that it can be undone."""
        transaction = self._transaction
        if transaction is not None and folder not in transaction.folders:
            transaction.folders.append(folder)
            self._journal(transaction.name, {"state": "open", "folders": transaction.folders})

    def _journal(self, name: str, told: Mapping[str, Any]) -> None:
        folder = posixpath.join(self.root, self.prefix + JOURNALS)
        self.files.create_dir(folder, recursive=True)
        written = f"{folder}.{name}"
        with self.files.open_output_stream(written) as stream:
            stream.write(json.dumps(told).encode())
        self.files.move(written, posixpath.join(folder, name))

    def _end(self, name: str) -> None:
        self.files.delete_file(posixpath.join(self.root, self.prefix + JOURNALS, name))

    def _put_in_place(self, replacements: Mapping[str, str]) -> None:
        """Make each new file its table's only one; done twice it changes nothing more."""
        for folder, name in replacements.items():
            hidden = posixpath.join(folder, f"_{name}")
            if self.files.get_file_info(hidden).type == fs.FileType.File:
                for info in self.files.get_file_info(fs.FileSelector(folder)):
                    if info.path != hidden:
                        self.files.delete_file(info.path)
                self.files.move(hidden, posixpath.join(folder, name))
            self._stale.add(self._place_of(folder))

    def _undo(self, name: str, folders: Iterable[str]) -> None:
        """Remove every file that a transaction wrote."""
        for folder in folders:
            selector = fs.FileSelector(folder, allow_not_found=True)
            for info in self.files.get_file_info(selector):
                if info.type == fs.FileType.File and name in posixpath.basename(info.path):
                    self.files.delete_file(info.path)
                    self._stale.add(self._place_of(folder))

    def _place_of(self, folder: str) -> str:
        schema, table = posixpath.split(folder)
        return f"{_quoted(posixpath.basename(schema))}.{_quoted(table)}"

    def _listed(self, name: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(posixpath.join(self.root, name), allow_not_found=True)
        found: list[fs.FileInfo] = self.files.get_file_info(selector)
        return found


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _text(value: str) -> str:
    """A value as a literal of Spark's SQL, where a backslash is a sign of its own."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _bound(query: str, parameters: Sequence[str | int]) -> str:
    """The query with its parameters in their places: the Thrift client has no binding."""
    parts = query.split("?")
    if len(parts) != len(parameters) + 1:
        raise ValueError(f"{len(parts) - 1} places for {len(parameters)} parameters")
    literals = [str(each) if isinstance(each, int) else _text(each) for each in parameters]
    return parts[0] + "".join(
        literal + part for literal, part in zip(literals, parts[1:], strict=True)
    )


def _spelt(kind: str) -> str:
    """A declared type as Spark names it."""
    return "string" if kind.lower() in ("varchar", "string") else kind.lower().replace(" ", "")


def _arrow(kind: str) -> pa.DataType:
    kind = _spelt(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind.startswith("decimal("):
        precision, _, scale = kind[len("decimal(") : -1].partition(",")
        return pa.decimal128(int(precision), int(scale or 0))
    raise CdpError(f"No Arrow type stands for Spark's {kind}.")


def _first_lines(told: str, count: int = 3) -> str:
    """The words of an error without Java's stack."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    told_lines = [line for line in lines if not line.startswith("at ")][:count]
    return " ".join(told_lines)[:1500]
