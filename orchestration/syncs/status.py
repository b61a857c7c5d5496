"""What `cdp sync status` shows: per sync its last run, what is open, and who is unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestration.home import Home
from orchestration.syncs.ledger import Ledger
from orchestration.syncs.settings import SyncSettings


@dataclass(frozen=True)
class SyncStatus:
    """How one sync stands; a sync that never ran has no run and zeros."""

    sync: str
    destination: str
    mode: str
    last_run_id: str | None = None
    status: str | None = None
    reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    # People the destination holds, as acknowledged.
    present: int = 0
    # People whose latest change is not acknowledged, by its state.
    open_rows: Mapping[str, int] = field(default_factory=dict)
    # They may have been reached; someone must decide (`decide_unknown`).
    unknown_customers: tuple[str, ...] = ()


def sync_statuses(home: Home, syncs: Sequence[SyncSettings]) -> list[SyncStatus]:
    """The status of each sync, read from the ledger without writing to it."""
    ledger = Ledger.open_for_reading(home)
    if ledger is None:
        return [SyncStatus(sync.name, sync.meta.destination, sync.meta.mode) for sync in syncs]
    with ledger:
        return [_status(ledger, sync) for sync in syncs]


def _status(ledger: Ledger, sync: SyncSettings) -> SyncStatus:
    run = ledger.last_run(sync.name)
    open_rows: dict[str, int] = {}
    for standing in ledger.standing(sync.name).values():
        open_rows[standing.state] = open_rows.get(standing.state, 0) + 1
    return SyncStatus(
        sync=sync.name,
        destination=sync.meta.destination,
        mode=sync.meta.mode,
        last_run_id=run.run_id if run else None,
        status=run.status if run else None,
        reason=run.reason if run else None,
        started_at=run.started_at if run else None,
        finished_at=run.finished_at if run else None,
        counts=run.counts if run else {},
        present=ledger.count_present(sync.name),
        open_rows=open_rows,
        unknown_customers=tuple(ledger.unknown_customers(sync.name)),
    )
