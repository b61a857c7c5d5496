"""The event log that stays open while a job runs, beside Dagster's own that the UI reads."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from support import PROJECT, environment_of

from orchestration.defs.event_log import KeptOpenEventLog
from orchestration.defs.execute import instance_of_job
from orchestration.home import Home
from orchestration.project import set_environment

KEY = dg.AssetKey("told")
WRITES_AND_DIES = """
import os, pathlib, signal
import dagster as dg
from orchestration.defs.execute import instance_of_job
from orchestration.home import Home

instance = instance_of_job(Home(pathlib.Path(os.environ["CDP_HOME"])))
for number in range(50):
    instance.report_runless_asset_event(dg.AssetMaterialization("told"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def materializations(instance: dg.DagsterInstance) -> int:
    return len(instance.fetch_materializations(KEY, limit=1000).records)


def test_readers_see_what_is_written_while_it_is_open(empty_home: Home) -> None:
    @dg.asset
    def told() -> int:
        return 1

    set_environment(empty_home)
    with instance_of_job(empty_home) as job, dg.DagsterInstance.get() as reader:
        assert isinstance(job.event_log_storage, KeptOpenEventLog)
        assert not isinstance(reader.event_log_storage, KeptOpenEventLog)
        for number in (1, 2):
            run = dg.materialize([told], instance=job)
            assert materializations(reader) == materializations(job) == number
            assert len(reader.all_logs(run.run_id)) == len(job.all_logs(run.run_id)) > 5
        job.wipe()
        assert materializations(reader) == materializations(job) == 0
        dg.materialize([told], instance=job)
        assert materializations(reader) == 1


def test_a_killed_process_loses_no_event(empty_home: Home) -> None:
    set_environment(empty_home)
    ended = subprocess.run(
        [sys.executable, "-c", WRITES_AND_DIES],
        cwd=PROJECT,
        env=environment_of(empty_home) | {"DAGSTER_HOME": os.environ["DAGSTER_HOME"]},
        timeout=120,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    with dg.DagsterInstance.get() as reader:
        assert materializations(reader) == 50


@pytest.mark.parametrize(
    "settings",
    [
        {"storage": {"sqlite": {"base_dir": "{own}"}}},
        {
            "event_log_storage": {
                "module": "dagster._core.storage.event_log",
                "class": "ConsolidatedSqliteEventLogStorage",
                "config": {"base_dir": "{own}"},
            }
        },
    ],
)
def test_a_storage_that_the_user_named_is_theirs(
    empty_home: Home, tmp_path: Path, settings: dict[str, Any]
) -> None:
    set_environment(empty_home)
    file = empty_home.dagster / "dagster.yaml"
    file.write_text(file.read_text() + yaml.safe_dump(settings).replace("{own}", str(tmp_path)))
    with instance_of_job(empty_home) as job, dg.DagsterInstance.get() as reader:
        job.report_runless_asset_event(dg.AssetMaterialization("told"))
        assert type(job.event_log_storage) is type(reader.event_log_storage)
        assert materializations(reader) == 1
    assert list(tmp_path.rglob("*.db")), "where they said"
