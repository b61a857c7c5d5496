"""The dbt project as the rest of the code sees it: its variables, its manifest, its hash.

dbt starts seldom, since each start costs seconds: a run starts it once, to build, and once
more to parse only where the manifest is missing or older than the project's files.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import yaml

from orchestration.errors import CdpError
from orchestration.home import PROJECT, Home
from orchestration.matching.settings import SETTINGS_FILE
from orchestration.warehouse.connect import schema_prefix

_PARTS = ("models", "macros", "seeds", "orchestration", "tests/data_tests")
_FILES = ("dbt_project.yml", "profiles.yml")
_SUFFIXES = {".sql", ".yml", ".csv", ".py", ".txt"}


def dbt_variables(home: Home, as_of: date) -> dict[str, object]:
    """What dbt is told of the run; never a secret, since it lands in the manifest."""
    return {
        "as_of_date": as_of.isoformat(),
        "source_currencies": _currencies(home),
        "schema_prefix": schema_prefix(),
        "allow_identity_jitter": os.environ.get("CDP_ALLOW_IDENTITY_JITTER") == "1",
        **_thresholds(home),
    }


def _thresholds(home: Home) -> dict[str, float]:
    """From which probability on matching joins people, as its settings say."""
    own = home.root / "matching.yml"
    path = own if own.exists() else SETTINGS_FILE
    told = yaml.safe_load(path.read_text()) or {}
    return {"probable_match_threshold": told["admitted_from"]} if "admitted_from" in told else {}


def _currencies(home: Home) -> dict[str, str]:
    """The currencies that this installation's `sources.yml` sets over the declarations'."""
    path = home.root / "sources.yml"
    if not path.exists():
        return {}
    settings = yaml.safe_load(path.read_text()) or {}
    return {
        name: setting["currency"] for name, setting in settings.items() if "currency" in setting
    }


def _project_files() -> Iterator[Path]:
    for name in _FILES:
        yield PROJECT / name
    for part in _PARTS:
        for path in sorted((PROJECT / part).rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                yield path


def code_hash(home: Home) -> str:
    """A hash over every file that the answer depends on, and the installation's settings."""
    digest = hashlib.sha256()
    for path in _project_files():
        digest.update(str(path.relative_to(PROJECT)).encode())
        digest.update(path.read_bytes())
    for name in ("sources.yml", "matching.yml", "state/matching_model.json"):
        path = home.root / name
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:16]


def set_environment(home: Home) -> None:
    """What dbt and Dagster read from the environment; telemetry off in both."""
    os.environ["CDP_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["DBT_LOG_PATH"] = str(home.root / "logs")
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    # By other code a table is made anew that is else brought up to date
    # (macros/engines/incremental.sql).
    os.environ["CDP_CODE_HASH"] = code_hash(home)
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        home.dagster.mkdir(parents=True, exist_ok=True)
        settings.write_text(
            "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
            # One writer per DuckDB file, whichever run it is in.
            "concurrency:\n  pools:\n    granularity: run\n    default_limit: 1\n"
            "  runs:\n    max_concurrent_runs: 1\n"
        )


def ensure_manifest(
    home: Home, as_of: date, progress: Callable[[str], None] = lambda line: None
) -> Path:
    """The manifest, parsed anew where a project file is newer than it."""
    newest = max(path.stat().st_mtime for path in _project_files() if path.suffix != ".py")
    if not home.manifest.exists() or home.manifest.stat().st_mtime < newest:
        progress("dbt: reading the project")
        run_dbt(home, as_of, ["parse"])
    return home.manifest


def run_dbt(home: Home, as_of: date, arguments: list[str], **variables: object) -> str:
    """One dbt start of its own; its output, or an error with what it printed last."""
    set_environment(home)
    given = {**dbt_variables(home, as_of), **variables}
    command = [
        str(Path(sys.executable).with_name("dbt")),
        *arguments,
        "--project-dir",
        str(PROJECT),
        "--profiles-dir",
        str(PROJECT),
        "--target-path",
        str(home.dbt_target),
        "--vars",
        yaml.safe_dump(given, default_flow_style=True, width=10_000).strip(),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        told = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-30:])
        raise CdpError(f"`dbt {' '.join(arguments)}` failed:\n{told}")
    return ended.stdout
