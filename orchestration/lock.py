"""One lock for the warehouse: a second command waits, or says who holds it.

The lock is the kernel's (`flock`), so it is gone with its process, however that ended; the
file's text only tells people who holds it. A process that holds it may ask again: the
Dagster job that `cdp run` starts runs in the command's own process.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from orchestration.build_state import refuse_half_restored
from orchestration.errors import LockHeld
from orchestration.home import Home

# The one command that may have a home whose restore was cut short.
RESTORE = "restore"
_held: set[Path] = set()


def holder(home: Home) -> str:
    """Who holds the lock, for people; 'another command' where its file says nothing."""
    try:
        told = json.loads(home.lock.read_text())
        return f"`cdp {told['command']}` (process {told['pid']}, since {told['since']} UTC)"
    except (OSError, ValueError, KeyError):
        return "another command"


@contextmanager
def hold_lock(
    home: Home,
    command: str,
    wait_seconds: float = 0,
    progress: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the warehouse for a block; raises `LockHeld` when the wait ends without it."""
    if home.lock in _held:
        yield
        return
    home.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(descriptor, home, wait_seconds, progress)
        if command != RESTORE:
            refuse_half_restored(home)
        told = {
            "command": command,
            "pid": os.getpid(),
            "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(told).encode(), 0)
        _held.add(home.lock)
        try:
            yield
        finally:
            _held.discard(home.lock)
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(
    descriptor: int, home: Home, wait_seconds: float, progress: Callable[[str], None] | None
) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockHeld(
                    f"The warehouse in {home.root.name} is held by {holder(home)}. "
                    "Wait for it to end, or give --wait SECONDS."
                ) from None
            if progress and not told:
                progress(f"Waiting for {holder(home)} …")
                told = True
            time.sleep(0.2)
