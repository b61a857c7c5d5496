"""Which engine holds a home's warehouse, and a connection to it."""

import hashlib
import os

from orchestration.errors import CdpError, MissingSetting
from orchestration.home import Home
from orchestration.warehouse.base import Warehouse
from orchestration.warehouse.duckdb import DuckDbWarehouse

ENGINES = ("duckdb", "spark")


def target() -> str:
    """The engine that `CDP_TARGET` names; DuckDB unless it is set."""
    named = os.environ.get("CDP_TARGET") or ENGINES[0]
    if named not in ENGINES:
        raise CdpError(f"CDP_TARGET is {named!r}; choose one of {', '.join(ENGINES)}.")
    return named


def schema_prefix() -> str:
    """What the schemas of this installation begin with on a cluster that others use too."""
    return os.environ.get("CDP_SCHEMA_PREFIX", "") if target() == "spark" else ""


def open_warehouse(home: Home, *, read_only: bool = False, engine: str | None = None) -> Warehouse:
    """The home's warehouse; `read_only` lets others read a DuckDB file at the same time.

    `engine` stands for the one that `CDP_TARGET` names. A warehouse on Spark that is another
    home's is refused: its lock is not ours.
    """
    if (engine or engine_of(home, settle=not read_only)) == "duckdb":
        return DuckDbWarehouse(home.warehouse, read_only=read_only)
    from orchestration.warehouse.spark import SparkWarehouse

    warehouse = SparkWarehouse(*spark_settings(), os.environ.get("CDP_SCHEMA_PREFIX", ""))
    try:
        _refuse_strangers(home, warehouse)
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def settled_engine(home: Home) -> str | None:
    """The engine that this home was first used with; None for a new one."""
    kept = home.state / "engine"
    if kept.exists():
        return kept.read_text()
    return "duckdb" if home.warehouse.exists() else None


def engine_of(home: Home, settle: bool = True) -> str:
    """The engine of this home's warehouse, settled when it is first used.

    A home belongs to one engine: what it has landed is archived, so another engine's
    warehouse would never see it.
    """
    engine = target()
    settled = settled_engine(home)
    if settled not in (None, engine):
        raise CdpError(
            f"This home's warehouse is on {settled}, and CDP_TARGET is {engine}. Set CDP_TARGET "
            "back, or give CDP_HOME another folder; docs/scaling.md says how a warehouse moves."
        )
    if settle:
        home.state.mkdir(parents=True, exist_ok=True)
        (home.state / "engine").write_text(engine)
    return engine


def remember_installation(home: Home, warehouse: Warehouse) -> None:
    """Note whose warehouse this is, by its salt; the caller has just made or read it."""
    found = installation_of(warehouse)
    if found:
        (home.state / "installation").write_text(found)


def installation_of(warehouse: Warehouse) -> str | None:
    """A hash of the installation's salt; None where there is no installation."""
    if not warehouse.columns("raw_cdp", "installation"):
        return None
    rows = warehouse.rows(f"select salt from {warehouse.place('raw_cdp', 'installation')}")
    return hashlib.sha256(rows[0][0].encode()).hexdigest()[:16] if rows else None


def has_landed(warehouse: Warehouse) -> bool:
    """Whether a file or another tool's rows were ever loaded."""
    if not warehouse.columns("raw_landing", "loads"):
        return False
    return bool(warehouse.rows(f"select 1 from {warehouse.place('raw_landing', 'loads')} limit 1"))


def _refuse_strangers(home: Home, warehouse: Warehouse) -> None:
    kept = home.state / "installation"
    known = kept.read_text() if kept.exists() else None
    found = installation_of(warehouse)
    # A first landing that died before it could note the salt has landed nothing.
    if found == known or (known is None and not has_landed(warehouse)):
        return
    remedy = "Look at CDP_SPARK_STORAGE, CDP_SCHEMA_PREFIX and the cluster's catalog"
    if found is None:
        raise CdpError(f"This home has a warehouse, and there is none where it looks. {remedy}.")
    raise CdpError(
        "The warehouse that the environment names is another home's: two homes would undo each "
        f"other's landings. {remedy}, or give this home a prefix of its own."
    )


def spark_settings() -> tuple[str, int, str]:
    """Host, port and storage of the cluster, from the environment."""
    storage = os.environ.get("CDP_SPARK_STORAGE")
    if not storage:
        raise MissingSetting(
            "CDP_SPARK_STORAGE is not set. Give a URI that this machine and all workers see, for "
            "example file:///mnt/shared/cdp or s3://bucket/cdp."
        )
    port = os.environ.get("CDP_SPARK_PORT") or "10000"
    if not port.isdecimal():
        raise CdpError(f"CDP_SPARK_PORT is {port!r}; give a whole number, for example 10000.")
    return os.environ.get("CDP_SPARK_HOST") or "127.0.0.1", int(port), storage
