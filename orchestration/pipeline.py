"""The whole way in one command: decide whether there is anything to do, then run the job."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from orchestration.build_state import last_build
from orchestration.errors import CdpError
from orchestration.home import PROJECT, Home
from orchestration.landing.declarations import load_declarations
from orchestration.landing.files import pending_files
from orchestration.lock import hold_lock
from orchestration.project import code_hash, ensure_manifest, set_environment
from orchestration.syncs.send import send
from orchestration.syncs.settings import load_syncs
from orchestration.syncs.status import sync_statuses
from orchestration.warehouse.connect import engine_of

Progress = Callable[[str], None]


@dataclass(frozen=True)
class RunResult:
    """What a run did: whether it built, and the seconds it took."""

    was_built: bool
    reason: str
    seconds: float
    dagster_run_id: str | None = None


def reason_to_build(home: Home, as_of: date) -> str | None:
    """Why a build is needed; None when nothing landed, the day and the code are the last's."""
    last = last_build(home)
    if last is None or not home.private_file.exists():
        return "this home has no finished build"
    waiting = pending_files(home)
    if waiting:
        return f"{len(waiting)} files wait in the landing folder"
    if any(source.mode == "schema" for source in load_declarations(PROJECT, home.root).values()):
        return "a source is read from a schema that another tool fills"
    if last["as_of_date"] != as_of.isoformat():
        return f"the last build was as of {last['as_of_date']}"
    if last["code_hash"] != code_hash(home):
        return "models, seeds or settings changed since the last build"
    return None


def run_all(
    home: Home,
    as_of: date,
    progress: Progress,
    force: bool = False,
    confirm_first_run: bool = False,
    wait_seconds: float = 0,
) -> RunResult:
    """Land, build, check, publish and send, or say why there is nothing to build."""
    started = time.monotonic()
    home.ensure()
    with hold_lock(home, "run", wait_seconds, progress):
        engine_of(home)
        reason = "asked for" if force else reason_to_build(home, as_of)
        if reason is None:
            progress("Nothing landed, the same date and the same code: build skipped.")
            _send_what_is_open(home, progress, confirm_first_run)
            return RunResult(False, "nothing new", time.monotonic() - started)
        progress(f"Building as of {as_of}: {reason}.")
        run_id = _run_job(home, as_of, progress, confirm_first_run)
        return RunResult(True, reason, time.monotonic() - started, run_id)


def _send_what_is_open(home: Home, progress: Progress, confirm_first_run: bool) -> None:
    """Run the syncs whose last run left rows to be tried again, or waits for a word given now."""
    syncs = {sync.name: sync for sync in load_syncs(home.manifest)}
    faults = []
    for status in sync_statuses(home, list(syncs.values())):
        is_open = any(status.open_rows.get(state) for state in ("planned", "deferred", "inflight"))
        if is_open or (status.status == "blocked" and confirm_first_run):
            sent = send(home, syncs[status.sync], confirm_first_run, tell=progress)
            if sent.fault:
                faults.append(f"{status.sync}: {sent.fault}")
    if faults:
        raise CdpError("\n".join(faults))


def _run_job(home: Home, as_of: date, progress: Progress, confirm_first_run: bool) -> str:
    set_environment(home)
    ensure_manifest(home, as_of, progress)
    # Importing Dagster takes seconds: only a run that builds pays for it.
    from orchestration.defs.execute import execute_job

    run = execute_job(home, progress, confirm_first_run)
    if not run.succeeded:
        raise CdpError(
            f"The run failed in {', '.join(run.failed_steps) or 'Dagster'}: {run.message}\n"
            "What was published before is untouched. `make ui` shows the run "
            f"{run.run_id[:8]} with its logs."
        )
    return run.run_id
