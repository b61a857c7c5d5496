"""When runs start: one job that does it all, every morning and when files land."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration.home import Home, as_of_date
from orchestration.landing.files import pending_files

JOB = "daily_build"


def build_job() -> Any:
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.all(),
        executor_def=dg.in_process_executor,
        description="Land, build, check, publish, send: the whole way, in one process.",
    )


def build_schedule(job: Any) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="daily_run",
        job=job,
        cron_schedule="0 5 * * *",
        execution_timezone="UTC",
        description="Every morning, so that what depends on the day is right.",
    )


def build_sensor(home: Home, job: Any) -> dg.SensorDefinition:
    @dg.sensor(
        name="landed_files",
        job=job,
        minimum_interval_seconds=60,
        description="A run when files wait in the landing folder.",
    )
    def landed_files() -> Iterator[dg.RunRequest | dg.SkipReason]:
        waiting = pending_files(home)
        if not waiting:
            yield dg.SkipReason("No file waits in the landing folder.")
            return
        newest = max(path.stat().st_mtime_ns for path in waiting)
        yield dg.RunRequest(run_key=f"{as_of_date()}-{len(waiting)}-{newest}")

    return landed_files
