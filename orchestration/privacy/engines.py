"""The warehouse as privacy requests read it: a DuckDB file, or a copy of what a cluster holds.

The rules by which rows are a person's are written once, for DuckDB. Of a warehouse on Spark the
tables that they need are copied into a file below `scratch/`, which is gone after the request;
what an erasure leaves of them goes back in one transaction.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.errors import CdpError, LockHeld
from orchestration.home import PROJECT, Home
from orchestration.landing.declarations import load_declarations
from orchestration.publish.publish import built_schemas
from orchestration.warehouse.base import quoted
from orchestration.warehouse.connect import engine_of, open_warehouse, settled_engine
from orchestration.warehouse.duckdb import DuckDbWarehouse
from orchestration.warehouse.history import BATCH_ROWS, copy_table, history_tables
from orchestration.warehouse.move import kept_tables
from orchestration.warehouse.spark import SEEDS, SparkWarehouse

Place = tuple[str, str]
# Schemas of a build that no model names.
STATE_SCHEMAS = ("identity_state", "identity_scratch", "build_state")
# What a person is looked up in, besides the tables that outlive a build.
LOOKED_UP = (
    ("identity", "identifiers"),
    ("identity", "identity_edges"),
    ("identity", "identity_redirects"),
    ("identity", "record_customers"),
)


def has_warehouse(home: Home) -> bool:
    """Whether anything was ever built or landed here, on either engine."""
    if engine_of(home, settle=False) == "duckdb":
        return home.warehouse.exists()
    return settled_engine(home) is not None


@contextmanager
def warehouse_file(home: Home, with_models: bool = False) -> Iterator[Path]:
    """The warehouse as a DuckDB file for reading; a copy is gone after the block.

    A copy has what outlives a build and what a person is looked up in; `with_models` adds the
    texts of every table that a build makes. The caller holds the home's lock.
    """
    if engine_of(home, settle=False) == "duckdb":
        yield home.warehouse
        return
    if not home.manifest.exists():
        raise CdpError("dbt has not parsed this project yet: run `cdp run`.")
    folder = home.scratch / "privacy_copy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        path = folder / home.warehouse.name
        with _cluster(home) as cluster, DuckDbWarehouse(path) as copy:
            asked = {*LOOKED_UP, *history_tables(home.manifest)}
            kept = {*kept_tables(load_declarations(PROJECT, home.root), home.manifest)} | asked
            for schema, table in sorted(kept):
                # Most raw tables of most homes: nobody is in them, and statements cost.
                if (schema, table) in asked or not cluster.is_empty(schema, table):
                    copy_table(cluster, copy, schema, table)
            if with_models:
                _copy_texts(cluster, copy, home, kept)
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _cluster(home: Home) -> Iterator[SparkWarehouse]:
    with open_warehouse(home) as opened:
        assert isinstance(opened, SparkWarehouse)
        opened.recover()
        yield opened


def _copy_texts(
    cluster: SparkWarehouse, copy: DuckDbWarehouse, home: Home, known: set[Place]
) -> None:
    """The columns of text of all other tables: nothing else names a person."""
    for schema in {*built_schemas(home.manifest), *STATE_SCHEMAS} - {SEEDS}:
        for table in cluster.base_tables(schema):
            kinds = cluster.columns(schema, table)
            texts = {name: kind for name, kind in kinds.items() if kind == "string"}
            if (schema, table) in known or not texts:
                continue
            copy.ensure_table(schema, table, texts)
            listed = ", ".join(f"`{name}`" for name in texts)
            query = f"select {listed} from {cluster.place(schema, table)}"
            for batch in cluster.batches(query, BATCH_ROWS):
                copy.append(schema, table, pa.Table.from_batches([batch]))


@contextmanager
def reading(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse under the name `old`, for reading alone."""
    with warehouse_file(home) as path, open_reading(home, path) as connection:
        yield connection


def open_reading(home: Home, path: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB file under the name `old`, for reading alone."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    home.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection.execute("set temp_directory = ?", [str(home.scratch / "privacy_spill")])
    try:
        connection.execute("attach '" + str(path).replace("'", "''") + "' as old (read_only)")
    except duckdb.IOException as error:
        connection.close()
        if "lock" not in str(error).lower():
            raise
        raise LockHeld(
            f"{path.name} is open in another process. Wait for it to end, or close it."
        ) from error
    return connection


def put_back(home: Home, fresh: Path, places: Iterable[Place]) -> None:
    """Put tables without a person in the place of a cluster's, and drop what a build makes.

    The tables change all or none. Their old files are deleted; what a storage keeps of deleted
    files (versions, trash) is its own to forget.
    """
    history = set(history_tables(home.manifest))
    with _cluster(home) as cluster, DuckDbWarehouse(fresh, read_only=True) as copy:
        with cluster.transaction():
            for schema, table in places:
                place = f"{quoted(schema)}.{quoted(table)}"
                cluster.replace(schema, table, copy.query(f"select * from {place}"))
        for schema in (*built_schemas(home.manifest), *STATE_SCHEMAS):
            cluster.drop_but(schema, {table for layer, table in history if layer == schema})
