"""The tables whose rows outlive a build: what cannot be made again from what landed."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestration.errors import CdpError
from orchestration.warehouse.base import Warehouse

# The salt of every customer_id.
INSTALLATION = ("raw_cdp", "installation")
REGISTRY = ("identity", "identity_registry")
BATCH_ROWS = 200_000


@dataclass(frozen=True)
class NewestBuild:
    """The build that the registry speaks of."""

    number: int
    as_of: date


def history_tables(manifest: Path) -> list[tuple[str, str]]:
    """The models that even a full refresh leaves their rows; the registry last, as builds do."""
    nodes: dict[str, Any] = json.loads(manifest.read_text())["nodes"]
    found = [
        (node["config"]["schema"], node["name"])
        for node in nodes.values()
        if node["resource_type"] == "model" and node["config"]["full_refresh"] is False
    ]
    if REGISTRY not in found:
        raise CdpError("The manifest names no identity_registry; was the project parsed whole?")
    return sorted(found, key=lambda name: (name == REGISTRY, name))


def newest_build(warehouse: Warehouse) -> NewestBuild | None:
    """The newest build in the registry; None where no customer_id was ever issued."""
    if not warehouse.columns(*REGISTRY):
        return None
    place = warehouse.place(*REGISTRY)
    number, as_of = warehouse.rows(f"select max(build_number), max(built_as_of) from {place}")[0]
    return None if number is None else NewestBuild(int(number), as_of)


def copy_table(old: Warehouse, new: Warehouse, schema: str, table: str) -> int:
    """Append a table's rows to the one of the same name elsewhere, which is made if missing."""
    columns = old.columns(schema, table)
    if not columns:
        return 0
    new.ensure_table(schema, table, columns)
    rows = 0
    with new.transaction():
        for batch in old.batches(f"select * from {old.place(schema, table)}", BATCH_ROWS):
            new.append(schema, table, pa.Table.from_batches([batch]))
            rows += batch.num_rows
    return rows
