"""The ledger as one file that can be kept elsewhere, and put back.

SQLite's own backup reads one moment even while a send writes, and writes within a transaction:
the ledger is the old one or the new one, whatever is killed.
"""

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from orchestration.errors import CdpError
from orchestration.syncs.ledger import process_start, stamp

# Changes that reached somebody, or may have.
_SENT = "outbox.state in ('acked', 'unknown', 'inflight')"


def copy_ledger(ledger: Path, copy: Path) -> None:
    """One moment of a ledger that others may be writing, as a file without any beside it."""
    with _reading(ledger) as source, _opened(copy) as target:
        source.backup(target)
        target.execute("pragma journal_mode = delete")
        # Nobody who holds a sync now will when this is put back.
        target.execute("delete from lease")
        target.commit()


def put_ledger(copy: Path | None, ledger: Path) -> None:
    """Make a home's ledger what the copy is; None where it had none."""
    if copy is None or _is_broken(ledger):
        # The files beside it would be taken for the next ledger's.
        for path in (ledger, *(ledger.with_name(ledger.name + end) for end in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
    if copy is None:
        return
    if not ledger.exists():
        ledger.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(ledger, os.O_CREAT | os.O_RDWR, 0o600))
    with _reading(copy) as source, _opened(ledger) as target:
        target.execute("pragma synchronous = full")
        source.backup(target)


def count_deliveries(ledger: Path) -> int:
    """Rows that destinations hold or may hold."""
    with _reading(ledger) as connection:
        found = connection.execute("select count(*) from delivered where state <> 'absent'")
        return int(found.fetchone()[0])


def fingerprints(ledger: Path) -> dict[str, str]:
    """What the keys that a ledger was made with are known by."""
    with _reading(ledger) as connection:
        return dict(connection.execute("select key, value from meta"))


def running_syncs(ledger: Path, now: datetime) -> list[str]:
    """Syncs that a living process of this machine, or one of another, is sending."""
    if not _is_there(ledger) or _is_broken(ledger):
        return []
    with _reading(ledger) as connection:
        held = connection.execute(
            "select sync, host, pid, process_started from lease where expires_at > ?", [stamp(now)]
        ).fetchall()
    here = socket.gethostname()
    return [
        sync for sync, host, pid, started in held if host != here or process_start(pid) == started
    ]


def sent_since(ledger: Path, copy: Path | None) -> int | None:
    """How many sends a ledger knows of that its copy does not; None where it cannot be read."""
    if not _is_there(ledger):
        return 0
    if _is_broken(ledger):
        return None
    with _reading(ledger) as connection:
        known = ""
        if copy is not None:
            connection.execute("attach ? as copied", [f"{copy.absolute().as_uri()}?mode=ro"])
            known = (
                "and not exists (select 1 from copied.outbox as known "
                "where known.change_id = outbox.change_id and known.state = outbox.state)"
            )
        found = connection.execute(f"select count(*) from outbox where {_SENT} {known}")
        return int(found.fetchone()[0])


def _is_there(ledger: Path) -> bool:
    return ledger.exists() and ledger.stat().st_size > 0


def _is_broken(ledger: Path) -> bool:
    if not _is_there(ledger):
        return False
    try:
        with _reading(ledger) as connection:
            return bool(connection.execute("pragma quick_check(1)").fetchone()[0] != "ok")
    except CdpError:
        return True


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with _opened(path, "ro") as connection:
        yield connection


@contextmanager
def _opened(path: Path, mode: str = "rwc") -> Iterator[sqlite3.Connection]:
    connection = None
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30
        )
        yield connection
    except sqlite3.Error as error:
        raise CdpError(f"{path.name} cannot be used as a ledger: {error}.") from error
    finally:
        if connection is not None:
            connection.close()
