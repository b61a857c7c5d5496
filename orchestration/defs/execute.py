"""Runs the job in this process, in the home's own Dagster instance, telling how far it is."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from orchestration.defs.activation import read_syncs
from orchestration.defs.automation import JOB
from orchestration.defs.event_log import KeptOpenEventLog
from orchestration.home import Home

STAGES = {
    "land_files": "landing files",
    "dbt_build_before_matching": "building what identity starts from (dbt)",
    "dbt_build": "building and checking models (dbt)",
    "matching__pairs": "matching people",
    "publish_files": "publishing",
    "export_ops": "publishing the ledger",
}


@dataclass(frozen=True)
class JobRun:
    """How the job ended."""

    run_id: str
    succeeded: bool
    failed_steps: list[str]
    message: str


_sink: list[Callable[[str], None]] = []


class _Told(logging.Handler):
    """Hands Dagster's own lines about our steps to the command line's progress."""

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        step = str(meta.get("step_key") or "")
        event = meta.get("dagster_event")
        line = ""
        if event is None and record.levelno >= logging.INFO:
            told = str(meta.get("orig_message") or "")
            # Dagster's own remark that checks of tables without new files were not run.
            line = "" if told.startswith("op '") else f"  {told}"
        elif event is not None and event.event_type_value == "STEP_START":
            line = f"{STAGES.get(step, step)} …"
        if line.strip():
            for tell in _sink:
                tell(line)


@dg.logger(None, description="One line for each step and each line that a step tells.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("cdp", logging.DEBUG)
    logger.addHandler(_Told())
    return logger


def execute_job(home: Home, progress: Callable[[str], None], confirm_first_run: bool) -> JobRun:
    """Execute `daily_build`; its run and logs stay in the instance that the UI shows."""
    from orchestration.defs.assemble import assemble

    job = assemble(home).resolve_job_def(JOB)
    config = {
        "loggers": {"progress": {}},
        "ops": {
            sync.name: {"config": {"confirm_first_run": confirm_first_run}}
            for sync in read_syncs(home)
        },
    }
    _sink.append(progress)
    log = home.root / "logs" / "run.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # dbt tells of every node on standard output; progress has its own way.
    with (
        instance_of_job(home) as instance,
        log.open("w") as file,
        contextlib.redirect_stdout(file),
    ):
        result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
        failed = [
            event.step_key or ""
            for event in result.all_events
            if str(event.event_type_value) in ("STEP_FAILURE", "STEP_SKIPPED")
        ]
        message = next(
            (
                _cause(event)
                for event in result.all_events
                if str(event.event_type_value) == "STEP_FAILURE"
            ),
            "",
        )
        return JobRun(result.run_id, result.success and not failed, failed, message)


def instance_of_job(home: Home) -> dg.DagsterInstance:
    """The home's own instance; its event log stays open, unless `dagster.yaml` names another."""
    settings = yaml.safe_load((home.dagster / "dagster.yaml").read_text()) or {}
    if {"storage", "event_log_storage"} & settings.keys():
        return dg.DagsterInstance.get()
    event_log = {
        "module": KeptOpenEventLog.__module__,
        "class": KeptOpenEventLog.__name__,
        "config": {"base_dir": str(home.dagster / "history" / "runs")},
    }
    return dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(str(home.dagster), overrides={"event_log_storage": event_log})
    )


def _cause(event: dg.DagsterEvent) -> str:
    """The innermost words of a failure; Dagster wraps the one that says what to do."""
    data = event.step_failure_data
    error = data.error
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else ""
