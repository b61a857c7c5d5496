"""Publishing: what passed its checks becomes what readers see, by one swap a file.

`cdp.duckdb` is for BI and pages: personal data masked or hashed by the tags of the models'
YAML. `private.duckdb` (mode 0600) is what syncs and lookups read. Both hold tables, never
views: a view names the file it was made in. The engine that holds the warehouse hands its
tables over as Parquet, so the files are the same whichever it is. Each is written beside the
old one, synced to disk and put in its place with one rename, so a reader has the old file or
the new one.
"""

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration.build_state import is_unfinished
from orchestration.errors import CdpError
from orchestration.home import Home, read_secret
from orchestration.warehouse.connect import open_warehouse, target

MASKED_LAYERS = ("identity", "profile", "metrics", "audiences", "reporting")
PRIVATE_LAYERS = (*MASKED_LAYERS, "activation")
# The seed that names audiences, for the tables of the convention.
AUDIENCES = ("seeds", "audiences")
PROGRESS_EVERY = 10
EXPORTS = ".exports-"


@dataclass(frozen=True)
class PublishedTable:
    """A model as it is published: its columns, how each personal one is masked, its order.

    A table that is looked up by a column lies in its order (`meta.published_order`), so that a
    reader of one value reads a few rows and not all.
    """

    layer: str
    name: str
    columns: frozenset[str]
    masks: Mapping[str, str]
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class Publication:
    """What one publish made."""

    publication_id: str
    as_of_date: date
    code_hash: str
    rows: Mapping[str, int]


def built_schemas(manifest: Path) -> list[str]:
    """The schemas that dbt writes, without the installation's prefix."""
    nodes: dict[str, Any] = json.loads(manifest.read_text())["nodes"]
    return sorted(
        {
            node["config"]["schema"]
            for node in nodes.values()
            if node["resource_type"] in ("model", "seed")
        }
    )


def published_tables(manifest: Path) -> list[PublishedTable]:
    """The models that readers may rely on: every one of a published layer that is not `int_`."""
    if not manifest.exists():
        raise CdpError("dbt has not parsed this project yet: run `cdp run`.")
    nodes: dict[str, Any] = json.loads(manifest.read_text())["nodes"]
    tables = [
        PublishedTable(
            layer=node["config"]["schema"],
            name=node["name"],
            columns=frozenset(node["columns"]),
            masks={
                column["name"]: column["config"]["meta"].get("mask", "hash")
                for column in node["columns"].values()
                if column.get("config", {}).get("meta", {}).get("contains_pii")
            },
            order=tuple(node["config"].get("meta", {}).get("published_order", ())),
        )
        for node in nodes.values()
        if node["resource_type"] == "model"
        and node["config"]["schema"] in {*MASKED_LAYERS, *PRIVATE_LAYERS}
        and not node["name"].startswith("int_")
    ]
    if not tables:
        raise CdpError("The manifest names no model to publish; was the project parsed whole?")
    return sorted(tables, key=lambda table: (table.layer, table.name))


def masked_expression(column: str, mask: str) -> str:
    """SQL that gives a personal column's masked form; the pepper is a variable of the session.

    `hash`: 32 hex digits of SHA-256 over the pepper and the value, so masked files still
    join; `key`: the same as a whole number; `initial`: the first letter; `year`: the first
    day of the year; `null`: nothing.
    """
    name = f'"{column}"'
    salted = f"sha256(concat(getvariable('pepper'), '|', cast({name} as varchar)))"
    forms = {
        "hash": f"case when {name} is not null then substr({salted}, 1, 32) end",
        "key": (
            f"case when {name} is not null "
            f"then cast(concat('0x', substr({salted}, 1, 15)) as bigint) end"
        ),
        "initial": f"case when {name} is not null then concat(substr({name}, 1, 1), '…') end",
        "year": f"cast(date_trunc('year', {name}) as date)",
        "null": "null",
    }
    if mask not in forms:
        raise CdpError(f"Column {column} asks for mask {mask!r}; choose one of {sorted(forms)}.")
    return f"{forms[mask]} as {name}"


def publish(
    home: Home,
    as_of: date,
    code_hash: str,
    progress: Callable[[str], None] = lambda line: None,
) -> Publication:
    """Copy the checked warehouse into both published files and swap them in.

    Refuses a warehouse whose last build did not end: half of it would be the new one's.
    """
    if is_unfinished(home):
        raise CdpError("The last build did not finish; `cdp run` builds again and publishes.")
    tables = published_tables(home.manifest)
    pepper = _checked_pepper(home)
    publication = Publication(uuid.uuid4().hex, as_of, code_hash, {})
    rows: dict[str, int] = {}
    home.published.mkdir(parents=True, exist_ok=True)
    for left_over in home.published.glob(f"{EXPORTS}*"):
        shutil.rmtree(left_over)
    files = (
        (home.private_file, PRIVATE_LAYERS, False, 0o600),
        (home.cdp_file, MASKED_LAYERS, True, 0o644),
    )
    made: list[tuple[Path, Path]] = []
    # Beside the files, and as private as the most private of them.
    with tempfile.TemporaryDirectory(dir=home.published, prefix=EXPORTS) as folder:
        exports = Path(folder)
        _export(home, tables, exports, progress)
        for file, layers, masked, mode in files:
            new = file.with_name(f".{file.name}.new")
            new.unlink(missing_ok=True)
            chosen = [table for table in tables if table.layer in layers]
            previous_umask = os.umask(0o777 & ~mode)
            try:
                _write(exports, new, chosen, masked, pepper, publication, code_hash, rows)
            finally:
                os.umask(previous_umask)
            new.chmod(mode)
            progress(f"{file.name}: {len(chosen)} tables")
            made.append((new, file))
    for new, file in made:
        _swap(new, file)
    return replace(publication, rows=rows)


def _export(
    home: Home, tables: list[PublishedTable], folder: Path, progress: Callable[[str], None]
) -> None:
    """One Parquet file for each table, written by the engine that holds it."""
    names = [*((table.layer, table.name, table.order) for table in tables), (*AUDIENCES, ())]
    with open_warehouse(home, read_only=True) as warehouse:
        for number, (layer, name, order) in enumerate(names, start=1):
            query = f"select * from {warehouse.place(layer, name)}"
            if order:
                query += f" order by {', '.join(order)}"
            warehouse.export_parquet(query, _export_path(folder, layer, name))
            if number % PROGRESS_EVERY == 0:
                progress(f"{number} of {len(names)} tables read")


def _export_path(folder: Path, layer: str, name: str) -> Path:
    return folder / f"{layer}.{name}.parquet"


def _exported(folder: Path, layer: str, name: str) -> str:
    return f"read_parquet({_literal(str(_export_path(folder, layer, name)))})"


def _write(
    exports: Path,
    new: Path,
    tables: list[PublishedTable],
    masked: bool,
    pepper: str,
    publication: Publication,
    code_hash: str,
    rows: dict[str, int],
) -> None:
    connection = duckdb.connect()
    try:
        connection.execute("set timezone = 'UTC'")
        # A variable, not a literal: an error quotes the statement.
        connection.execute("set variable pepper = ?", [pepper])
        connection.execute(f"attach {_literal(str(new))} as published")
        for layer in sorted({table.layer for table in tables}):
            connection.execute(f'create schema published."{layer}"')
        for table in tables:
            exported = _exported(exports, table.layer, table.name)
            described = connection.execute(f"describe select * from {exported}").fetchall()
            columns = [row[0] for row in described]
            unknown = sorted(set(columns) - table.columns)
            if masked and unknown:
                raise CdpError(
                    f"{table.layer}.{table.name} has columns that its YAML does not describe, so "
                    f"nobody said whether they are personal: {', '.join(unknown)}."
                )
            selected = ", ".join(
                masked_expression(column, table.masks[column])
                if masked and column in table.masks
                else f'"{column}"'
                for column in columns
            )
            connection.execute(
                f'create table published."{table.layer}"."{table.name}" as '
                f"select {selected} from {exported}"
            )
            counted = connection.execute(
                f'select count(*) from published."{table.layer}"."{table.name}"'
            ).fetchone()
            rows[f"{table.layer}.{table.name}"] = counted[0] if counted else 0
        _write_audience_convention(connection, exports)
        connection.execute("create schema published.publication")
        connection.execute(
            "create table published.publication.info as select "
            "? as publication_id, cast(? as timestamp) as published_at, "
            "cast(? as date) as as_of_date, ? as code_hash",
            [
                publication.publication_id,
                datetime.now(UTC).replace(tzinfo=None),
                publication.as_of_date,
                code_hash,
            ],
        )
        connection.execute("detach published")
    finally:
        connection.close()


def _write_audience_convention(connection: duckdb.DuckDBPyConnection, exports: Path) -> None:
    """The three tables that tools for warehouse-managed audiences read as they are."""
    audiences = _exported(exports, *AUDIENCES)
    customers = _exported(exports, "profile", "customers")
    memberships = _exported(exports, "audiences", "audience_memberships")
    for statement in (
        "create schema published.warehouse_audiences",
        "create table published.warehouse_audiences.audiences as "
        f"select audience as id, audience_name as name from {audiences} order by 1",
        "create table published.warehouse_audiences.people as "
        f"select customer_id as id from {customers} order by 1",
        "create table published.warehouse_audiences.audience_memberships as "
        "select customer_id as person_id, audience as audience_id "
        f"from {memberships} where is_current order by 1, 2",
    ):
        connection.execute(statement)


def _swap(new: Path, target: Path) -> None:
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def built_as_of(home: Home) -> date:
    """The day that the warehouse as it stands was built for."""
    if target() == "duckdb" and not home.warehouse.exists():
        raise CdpError("There is no warehouse yet: run `cdp run` first.")
    with open_warehouse(home, read_only=True) as warehouse:
        rows: list[tuple[date | None]] = []
        if warehouse.columns("identity", "identity_registry"):
            registry = warehouse.place("identity", "identity_registry")
            rows = warehouse.rows(f"select max(built_as_of) from {registry}")
    if not rows or rows[0][0] is None:
        raise CdpError("The warehouse holds no finished build yet: run `cdp run` first.")
    return rows[0][0]


def _checked_pepper(home: Home) -> str:
    """The pepper, refused when it is not the one that this home's hashes were made with."""
    pepper = read_secret(home, "CDP_ID_PEPPER")
    fingerprint = hashlib.sha256(f"cdp pepper fingerprint|{pepper}".encode()).hexdigest()[:16]
    kept = home.state / "pepper.fingerprint"
    if kept.exists() and kept.read_text() != fingerprint:
        raise CdpError(
            "CDP_ID_PEPPER is not the pepper this home was made with: every hash would change. "
            "Give the old one back, or remove state/pepper.fingerprint to start new hashes."
        )
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(fingerprint)
    return pepper


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
