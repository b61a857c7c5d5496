"""What the tests share: a parsed manifest and one built home of a sample company."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import (
    AS_OF,
    PEOPLE,
    SEED,
    Dbt,
    cdp,
    fingerprints,
    kept_environment,
    make_home,
    put_second_day,
    reader_of,
    run_home,
)

from orchestration.demo.company import make_company
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.warehouse.cluster import ClusterSettings, LocalCluster, java_command, spark_home

SPARK = "tests/spark/"


def skip_or_fail(reason: str) -> NoReturn:
    """Skip for want of something; where everything is required, fail."""
    if os.environ.get("CDP_REQUIRE_ALL") == "1":
        pytest.fail(f"CDP_REQUIRE_ALL=1, but: {reason}")
    pytest.skip(reason)


def pytest_configure() -> None:
    """Tests say themselves which engine they run on, whatever the shell is set to."""
    os.environ.pop("CDP_TARGET", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    items.sort(key=lambda item: not item.nodeid.startswith(SPARK))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two processes one has the cluster; any other file's tests stay together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCluster(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return SPARK if file.startswith(SPARK) else file

    return ByCluster(config, log)


@pytest.fixture(autouse=True)
def _environment_is_restored() -> Iterator[None]:
    """No test leaves a home, a date or a secret in the environment of the next."""
    with kept_environment():
        yield


@pytest.fixture(scope="session")
def manifest_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An empty home in which the project is parsed; only for reading."""
    return make_home(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="session")
def dbt(manifest_home: Home) -> Dbt:
    """dbt with the project parsed once."""
    return Dbt(manifest_home)


@pytest.fixture(scope="session")
def manifest(manifest_home: Home, dbt: Dbt) -> dict[str, Any]:
    """What dbt knows of the project."""
    told: dict[str, Any] = json.loads(manifest_home.manifest.read_text())
    return told


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A sample company from landing to syncs; only for reading: copy it to change it."""
    home = make_home(tmp_path_factory.mktemp("sample"))
    make_company(home.landing, home.truth, PEOPLE, SEED, AS_OF)
    run_home(home)
    return home


def copied(home: Home, folder: Path) -> Home:
    """A copy of a home that may be changed."""
    target = Path(tempfile.mkdtemp(dir=folder)) / "home"
    shutil.copytree(home.root, target)
    return Home(target)


@pytest.fixture
def copy_home(tmp_path: Path) -> Iterator[Callable[[Home], Home]]:
    """Copies of a home for one test, removed after it: they are large."""
    yield lambda home: copied(home, tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)


@dataclass(frozen=True)
class SkippedRun:
    """A `cdp run` with nothing new: what it said and what there was before and after."""

    home: Home
    ended: subprocess.CompletedProcess[str]
    seconds: float
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="session")
def skipped_run(sample_home: Home, tmp_path_factory: pytest.TempPathFactory) -> SkippedRun:
    """The sample home asked to run again on the same day."""
    home = copied(sample_home, tmp_path_factory.mktemp("again"))
    before = fingerprints(home)
    started = time.monotonic()
    ended = cdp(home, "run", "--json")
    return SkippedRun(home, ended, time.monotonic() - started, before, fingerprints(home))


@dataclass(frozen=True)
class SecondDay:
    """The sample home after the next day's files, and what readers saw meanwhile."""

    home: Home
    told: dict[str, Any]
    withdrawn_email: str
    readings: list[dict[str, Any]]


@pytest.fixture(scope="session")
def second_day(sample_home: Home, tmp_path_factory: pytest.TempPathFactory) -> SecondDay:
    """The day after: one withdraws, one opts in, one does both; a reader reads all the time."""
    home = copied(sample_home, tmp_path_factory.mktemp("next"))
    withdrawn = put_second_day(home)
    with reader_of(home) as readings:
        told = run_home(home, AS_OF + timedelta(days=1))
    return SecondDay(home, told, withdrawn, readings)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A Spark cluster of two workers for the whole session; tests keep to schemas of their own."""
    try:
        java_command()
        spark_home()
    except CdpError as error:
        skip_or_fail(str(error))
    folder = tmp_path_factory.mktemp("spark")
    settings = ClusterSettings.on_free_ports(shuffle_partitions=2)
    with LocalCluster(folder / "cluster", folder / "storage", settings) as started:
        yield started


@pytest.fixture
def empty_home(tmp_path: Path) -> Home:
    """A home with keys and nothing landed."""
    return make_home(tmp_path / "home")
