"""Homes of sample companies, and small files landed and built by hand."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from orchestration.cli import DEMO_CONNECTIONS
from orchestration.errors import CdpError
from orchestration.home import Home, make_secrets
from orchestration.landing import LandingReport, land, load_declarations
from orchestration.project import dbt_variables, set_environment
from orchestration.warehouse.duckdb import DuckDbWarehouse

PROJECT = Path(__file__).resolve().parents[1]
AS_OF = date(2026, 11, 1)
PEOPLE = 600
SEED = 7
MODELS_ONLY = ("--exclude-resource-type", "test", "unit_test")
# Seeds and staging's views are the same in the next build of a home: they need not be made anew.
AGAIN = ("seed", "--exclude", "path:models/staging")
# Small builds are dbt's own work for the greater part; without these it does a quarter less.
QUICK = ("--log-level-file", "none", "--no-write-json", "--threads", "1")


@contextmanager
def kept_environment(**given: str) -> Iterator[None]:
    """The environment for a block; what the block sets in it is gone after."""
    before = dict(os.environ)
    os.environ.update({"CDP_QUIET_SECONDS": "0", **given})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def make_home(root: Path) -> Home:
    """An empty home with keys and the demo's embedded destinations."""
    home = Home(root).ensure()
    make_secrets(home)
    home.connections.write_text(DEMO_CONNECTIONS)
    return home


def environment_of(home: Home, as_of: date = AS_OF) -> dict[str, str]:
    """The environment of a command on this home, for a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CDP_")}
    return {
        **kept,
        "CDP_HOME": str(home.root),
        "CDP_AS_OF_DATE": as_of.isoformat(),
        "CDP_QUIET_SECONDS": "0",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "200",
    }


def cdp(
    home: Home, *arguments: str, as_of: date = AS_OF, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """One `cdp` command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=PROJECT,
        env=environment_of(home, as_of),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_home(home: Home, as_of: date = AS_OF) -> dict[str, Any]:
    """`run_all` in a process of its own; what it says of itself."""
    ended = cdp(home, "run", "--confirm-first-run", "--json", as_of=as_of)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def put(home: Home, place: str, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Rows as a file of `source/table`; `.jsonl` as the web's collector writes it."""
    path = home.landing / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        if name.endswith(".jsonl"):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in listed)
        else:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in listed for key in row)))
            writer.writeheader()
            writer.writerows(listed)
    return path


def silent(line: str) -> None:
    """Progress that nobody wants to see."""


def land_waiting(home: Home, as_of: date = AS_OF, project: Path = PROJECT) -> LandingReport:
    """Load what waits in the landing folder; fails where a file is refused as a whole."""
    with kept_environment(), DuckDbWarehouse(home.warehouse) as warehouse:
        report = land(home, warehouse, load_declarations(project, home.root), as_of, silent)
    assert not report.refused, [refused.text for refused in report.refused]
    return report


class Dbt:
    """dbt in this process with one parsed project for every home: a start costs seconds less."""

    def __init__(self, home: Home, project: Path = PROJECT) -> None:
        self.home = home
        self.project = project
        self.manifest: Any = None
        self.manifest = self.invoke(home, AS_OF, ["parse"]).result

    def invoke(self, home: Home, as_of: date, arguments: Sequence[str], **variables: Any) -> Any:
        """One dbt command; a failure raises with what each broken node said."""
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        given = json.dumps({**dbt_variables(home, as_of), **variables})
        folders = ("--project-dir", str(self.project), "--profiles-dir", str(self.project))
        target = ("--target-path", str(home.dbt_target), "--vars", given)
        with kept_environment():
            set_environment(home)
            runner = dbtRunner(manifest=self.manifest)
            ended = runner.invoke([*arguments, "--quiet", *folders, *target])
            # The file stays open otherwise, and nobody else in this process can open it.
            DuckDBConnectionManager.close_all_connections()
        if not ended.success:
            nodes = getattr(ended.result, "results", None) or []
            broken = [f"{node.node.name}: {node.message}" for node in nodes if node.message]
            raise CdpError("\n".join([str(ended.exception or ""), *broken]))
        return ended

    def build(
        self,
        home: Home,
        select: Sequence[str],
        *options: str,
        as_of: date = AS_OF,
        **variables: Any,
    ) -> None:
        """Land what waits, then build the models selected and their seeds."""
        land_waiting(home, as_of, self.project)
        arguments = ["build", "--select", *select, *MODELS_ONLY, *options, *QUICK]
        self.invoke(home, as_of, arguments, **variables)


def copy_project(root: Path) -> Path:
    """A project of its own to edit: dbt's part of this one."""
    project = root / "project"
    for part in ("models", "macros", "seeds", "tests/data_tests"):
        shutil.copytree(PROJECT / part, project / part)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project / name)
    return project


def query(path: Path, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """An answer from a DuckDB file, opened for reading alone."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(statement, list(parameters)).fetchall()


def event(number: int | str, kind: str, at: str, **given: Any) -> dict[str, Any]:
    """One web event of the Segment specification."""
    return {
        "messageId": f"event-{number}",
        "type": kind,
        "timestamp": at,
        "receivedAt": at,
        **given,
    }


def account(number: int | str, at: str, **given: str) -> dict[str, str]:
    """One version of a shop account."""
    return {
        "id": f"{number}",
        "email": "",
        "phone": "",
        "first_name": "",
        "last_name": "",
        "created_at": at,
        "updated_at": at,
        "_fivetran_synced": at,
        **given,
    }


def consent(number: str, email: str, status: str, at: str) -> dict[str, str]:
    """One answer about marketing by e-mail."""
    return {
        "consent_event_id": f"test-{number}",
        "contact_point_type": "email",
        "email": email,
        "country_code": "GB",
        "channel": "email",
        "purpose": "marketing",
        "status": status,
        "jurisdiction": "GDPR",
        "basis": "consent",
        "captured_at": at,
        "confirmed_at": at if status == "subscribed" else "",
        "source": "preference_centre",
    }


# An erasure in a process of its own, to be killed at a point; the build is left out.
KILLED_ERASURE = """
import sys
from datetime import date
from pathlib import Path
from orchestration.home import Home
from orchestration.privacy.erase import erase

erase(Home(Path(sys.argv[1])), sys.argv[2], date(2026, 11, 1), build=lambda *_: None)
"""

OPTED_IN, CHANGED_MIND = "dana.new@post.example", "evan.new@post.example"


def put_second_day(home: Home) -> str:
    """Files of 2 November; the address of the member of the CSV drop who withdraws."""
    withdrawn: str = query(
        home.private_file,
        "select min(contact_point) from activation.sync_csv_drop__lapsing_high_value "
        "where is_permitted",
    )[0][0]
    put(
        home,
        "consent/consent_events",
        "consent_events_2026-11-02.csv",
        [
            consent("1", withdrawn, "unsubscribed", "2026-11-02 09:00:00"),
            consent("2", OPTED_IN, "subscribed", "2026-11-02 09:01:00"),
            consent("3", CHANGED_MIND, "subscribed", "2026-11-02 09:02:00"),
            consent("4", CHANGED_MIND, "unsubscribed", "2026-11-02 09:03:00"),
            consent("5", OPTED_IN, "perhaps", "2026-11-02 09:04:00"),
        ],
    )
    put(
        home,
        "shopify/customer",
        "customer_2026-11-02.csv",
        [
            account("day2-1", "2026-11-02 09:01:00", email=OPTED_IN, first_name="Dana"),
            account("day2-2", "2026-11-02 09:02:00", email=CHANGED_MIND, first_name="Evan"),
        ],
    )
    return withdrawn


def fingerprints(home: Home) -> dict[str, str]:
    """A hash of every file that a run could have written, by its place in the home."""
    return {
        str(path.relative_to(home.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("dagster", "published", "outbox", "state", "warehouse.duckdb")
        for path in [home.root / part, *sorted((home.root / part).rglob("*"))]
        if path.is_file()
    }


READER = """
import json, pathlib, sys, time
import duckdb

cdp, private, stop = sys.argv[1:]
while not pathlib.Path(stop).exists():
    for path in (cdp, private):
        try:
            with duckdb.connect(path, read_only=True) as connection:
                publication = connection.execute(
                    "select publication_id from publication.info").fetchall()
                customers = connection.execute(
                    "select count(*), count(distinct customer_id) from profile.customers"
                ).fetchone()
                members = connection.execute(
                    "select count(*) from audiences.audience_memberships anti join "
                    "profile.customers using (customer_id) where is_current").fetchone()[0]
            told = {"publication": publication[0][0], "customers": customers[0],
                    "distinct": customers[1], "strangers": members, "error": None}
        except Exception as error:
            told = {"error": repr(error)}
        print(json.dumps({"file": pathlib.Path(path).name, **told}), flush=True)
    time.sleep(0.1)
"""


@contextmanager
def reader_of(home: Home) -> Iterator[list[dict[str, Any]]]:
    """Another process that reads both published files all the time; what it saw."""
    readings: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        stop, told = Path(folder) / "stop", Path(folder) / "told"
        with told.open("w") as file:
            arguments = [str(home.cdp_file), str(home.private_file), str(stop)]
            process = subprocess.Popen([sys.executable, "-c", READER, *arguments], stdout=file)
            try:
                yield readings
            finally:
                time.sleep(1)
                stop.touch()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        readings.extend(json.loads(line) for line in told.read_text().splitlines())
