"""`cdp doctor`: what an installation has, lacks or has wrong, and what to do about it."""

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from orchestration.build_state import is_unfinished, last_build
from orchestration.errors import CdpError
from orchestration.home import KEYS, PROJECT, Home, as_of_date, read_secret
from orchestration.landing.declarations import load_declarations
from orchestration.landing.files import pending_files
from orchestration.lock import hold_lock
from orchestration.privacy.requests import Requests
from orchestration.syncs.connections import load_connections
from orchestration.syncs.settings import load_syncs
from orchestration.syncs.status import sync_statuses
from orchestration.warehouse.connect import open_warehouse, spark_settings, target

# Days before a privacy request is due at which somebody must look.
DAYS_TO_WARN = 7
PINNED = {"dbt-core": "1.11", "dbt-duckdb": "1.11.1", "dagster": "1.13", "duckdb": "1.5.5"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    state: Literal["ok", "note", "bad"]
    what: str
    found: str
    remedy: str = ""


def examine(home: Home) -> list[Finding]:
    """Everything worth knowing before asking for help; reads only."""
    return [
        *_packages(),
        *_home(home),
        *_keys(home),
        *_sources(home),
        *_engine(home),
        *_published(home),
        *_syncs(home),
        *_privacy(home),
    ]


def _privacy(home: Home) -> list[Finding]:
    """Privacy requests that wait for an answer, and those whose day is near."""
    if not (home.state / "privacy" / "requests.json").exists():
        return []
    today = datetime.now(UTC).date()
    try:
        waiting = [each for each in Requests(home).all() if each.is_open]
    except CdpError as error:
        return [Finding("bad", "privacy requests", str(error))]
    days = min((each.days_left(today) or 0 for each in waiting), default=None)
    if days is None:
        return [Finding("ok", "privacy requests", "all answered")]
    return [
        Finding(
            "bad" if days < DAYS_TO_WARN else "note",
            "privacy requests",
            f"{len(waiting)} wait, the first for {days} days more",
            "cdp privacy status",
        )
    ]


def _packages() -> list[Finding]:
    findings = []
    for name, wanted in PINNED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            findings.append(Finding("bad", name, "not installed", "make install"))
            continue
        fits = found == wanted or found.startswith(f"{wanted}.")
        remedy = "" if fits else f"install {wanted} as constraints.txt says: make install"
        findings.append(Finding("ok" if fits else "bad", name, found, remedy))
    return findings


def _home(home: Home) -> list[Finding]:
    if not home.root.exists():
        return [Finding("note", "home", f"{home.root} does not exist", "cdp demo, or cdp run")]
    findings = [Finding("ok", "home", str(home.root))]
    try:
        findings.append(Finding("ok", "as-of date", as_of_date().isoformat()))
    except CdpError as error:
        findings.append(Finding("bad", "as-of date", str(error)))
    try:
        with hold_lock(home, "doctor"):
            findings.append(Finding("ok", "lock", "free"))
    except CdpError as error:
        findings.append(Finding("note", "lock", str(error)))
    return findings


def _keys(home: Home) -> list[Finding]:
    findings = []
    for name in KEYS:
        try:
            read_secret(home, name)
            findings.append(Finding("ok", name, "set"))
        except CdpError:
            findings.append(Finding("bad", name, "not set", "cdp doctor --make-keys"))
    for path in (home.secrets_file, home.private_file, home.ledger):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            findings.append(
                Finding("bad", path.name, "others may read it", f"chmod 600 {path.name}")
            )
    return findings


def _sources(home: Home) -> list[Finding]:
    try:
        sources = load_declarations(PROJECT, home.root)
    except CdpError as error:
        return [Finding("bad", "sources", str(error))]
    waiting = len(pending_files(home)) if home.landing.exists() else 0
    findings = [Finding("ok", "sources", f"{len(sources)} declared: {', '.join(sources)}")]
    findings.append(
        Finding(
            "note" if waiting else "ok",
            "landing",
            f"{waiting} files wait",
            "cdp run" if waiting else "",
        )
    )
    return findings


def _engine(home: Home) -> list[Finding]:
    try:
        engine = target()
        if engine == "duckdb":
            return [Finding("ok", "engine", engine)]
        host, port, storage = spark_settings()
        with open_warehouse(home, read_only=True) as warehouse:
            schemas = len(warehouse.rows("show schemas"))
        found = f"spark on {host}:{port}, {schemas} schemas, files in {storage}"
        return [Finding("ok", "engine", found)]
    except CdpError as error:
        return [Finding("bad", "engine", str(error))]


def _published(home: Home) -> list[Finding]:
    last = last_build(home)
    if is_unfinished(home):
        return [Finding("bad", "build", "the last one did not finish", "cdp run")]
    if last is None or not home.private_file.exists():
        return [Finding("note", "published", "nothing yet", "cdp run")]
    return [Finding("ok", "published", f"as of {last['as_of_date']}, {last['finished_at']}")]


def _syncs(home: Home) -> list[Finding]:
    if not home.manifest.exists():
        return []
    try:
        for name in KEYS:
            read_secret(home, name)
    except CdpError:
        # Said above already; without them the ledger cannot be read.
        return []
    try:
        syncs = load_syncs(home.manifest)
        connections = load_connections(home)
        statuses = sync_statuses(home, syncs)
    except CdpError as error:
        return [Finding("bad", "syncs", str(error))]
    findings = []
    for status in statuses:
        if status.destination not in connections:
            findings.append(
                Finding(
                    "note",
                    status.sync,
                    f"no connection named {status.destination}",
                    f"describe it in {home.connections.name}",
                )
            )
            continue
        unknown = len(status.unknown_customers)
        findings.append(
            Finding(
                "note" if unknown else "ok",
                status.sync,
                f"{status.status or 'never ran'}, {unknown} of unknown fate",
                "cdp sync status" if unknown else "",
            )
        )
    return findings
