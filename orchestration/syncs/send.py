"""The one way a sync leaves: its payload is checked, then it is planned, sent and counted."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestration.checks.borders import check_sync_payload, failed
from orchestration.checks.expectations import CheckResult
from orchestration.checks.report import keep_payload_checks
from orchestration.errors import CdpError
from orchestration.home import Home, as_of_date
from orchestration.syncs.connections import load_connections
from orchestration.syncs.engine import SyncResult, run_sync
from orchestration.syncs.export import export_ledger
from orchestration.syncs.settings import SyncSettings

# A sync that waits for a person, or for a connection, is no failure of the run.
WAITING = {"first_run_unconfirmed", "connection_missing"}


@dataclass(frozen=True)
class Sent:
    """A sync's checks and its end; no end where a check kept it from starting."""

    checks: list[CheckResult]
    result: SyncResult | None

    @property
    def is_waiting(self) -> bool:
        return self.result is not None and self.result.reason_code in WAITING

    @property
    def fault(self) -> str | None:
        """Why a run that sends this should fail; None where it should not."""
        if self.result is None:
            return f"payload checks failed: {', '.join(failed(self.checks))}"
        if self.result.is_failure and not self.is_waiting:
            return f"{self.result.status}: {self.result.reason}"
        return None


def check_payload(home: Home, sync: SyncSettings) -> list[CheckResult]:
    """Judge what would leave, and keep the verdict for the report."""
    if not home.private_file.exists():
        raise CdpError("Nothing is published yet: run `cdp run` first.")
    checks = check_sync_payload(home, sync)
    keep_payload_checks(home, as_of_date(), sync.name, checks)
    return checks


def send(
    home: Home,
    sync: SyncSettings,
    confirm_first_run: bool = False,
    confirm_removals: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Sent:
    """Check, plan and send one sync; the ledger is exported whatever its end."""
    checks = check_payload(home, sync)
    if failed(checks):
        return Sent(checks, None)
    try:
        result = run_sync(
            home,
            sync,
            load_connections(home).get(sync.meta.destination),
            confirm_first_run=confirm_first_run,
            confirm_removals=confirm_removals,
        )
    finally:
        if home.ledger.exists():
            export_ledger(home)
    tell(told(result))
    return Sent(checks, result)


def told(result: SyncResult) -> str:
    """A run's end in one line of numbers."""
    counts = ", ".join(f"{name} {number:,}" for name, number in result.counts.items() if number)
    line = f"{result.sync}: {result.status}; {counts or 'nothing to send'}"
    return f"{line}. {result.reason}" if result.reason else line
