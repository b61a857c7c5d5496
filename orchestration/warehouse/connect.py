"""Which engine holds this home's warehouse, and a connection to it."""

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


def open_warehouse(home: Home, *, read_only: bool = False) -> Warehouse:
    """The home's warehouse; `read_only` lets others read a DuckDB file at the same time."""
    if engine_of(home) == "duckdb":
        return DuckDbWarehouse(home.warehouse, read_only=read_only)
    from orchestration.warehouse.spark import SparkWarehouse

    return SparkWarehouse(*spark_settings(), schema_prefix())


def engine_of(home: Home) -> str:
    """The engine of this home's warehouse, settled when it is first used.

    A home belongs to one engine: what it has landed is archived, so another engine's
    warehouse would never see it.
    """
    engine = target()
    kept = home.state / "engine"
    if not kept.exists():
        home.state.mkdir(parents=True, exist_ok=True)
        kept.write_text(engine)
    if (settled := kept.read_text()) != engine:
        raise CdpError(
            f"This home's warehouse is on {settled}, and CDP_TARGET is {engine}. Set CDP_TARGET "
            "back, or give CDP_HOME another folder; docs/scaling.md says how a warehouse moves."
        )
    return engine


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
