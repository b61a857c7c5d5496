"""What the last build left, on disk: whether one is unfinished, and what the finished one was.

A build that failed or was killed must be made again even where nothing new lands, and nobody may
publish what it left half done. A restore that was cut short leaves registry and ledger of two
moments: nothing is built or sent until one runs to its end.
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from orchestration.errors import CdpError
from orchestration.home import Home


def _finished(home: Home) -> Path:
    return home.state / "build.json"


def _unfinished(home: Home) -> Path:
    return home.state / "build.unfinished"


def _restoring(home: Home) -> Path:
    return home.state / "restore.unfinished"


def last_build(home: Home) -> dict[str, Any] | None:
    """The last build that was published; None when something landed or changed after it."""
    path = _finished(home)
    if not path.exists() or is_unfinished(home):
        return None
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def is_unfinished(home: Home) -> bool:
    return _unfinished(home).exists()


def forget_build(home: Home) -> None:
    """Rows landed: what is published no longer tells all that is known."""
    _finished(home).unlink(missing_ok=True)


def begin_build(home: Home) -> None:
    forget_build(home)
    home.state.mkdir(parents=True, exist_ok=True)
    _unfinished(home).touch()


def end_build(home: Home) -> None:
    _unfinished(home).unlink(missing_ok=True)


def record_build(
    home: Home, as_of: date, code_hash: str, dagster_run_id: str | None = None
) -> None:
    """The build is checked and published."""
    told = {
        "as_of_date": as_of.isoformat(),
        "code_hash": code_hash,
        "dagster_run_id": dagster_run_id,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _finished(home).write_text(json.dumps(told))


def is_half_restored(home: Home) -> bool:
    return _restoring(home).exists()


def begin_restore(home: Home, file: Path) -> None:
    home.state.mkdir(parents=True, exist_ok=True)
    _restoring(home).write_text(str(file))


def end_restore(home: Home) -> None:
    _restoring(home).unlink(missing_ok=True)


def refuse_half_restored(home: Home) -> None:
    """Registry and ledger must be of one moment before anything is built or sent."""
    if is_half_restored(home):
        raise CdpError(
            f"A restore was cut short and this home is half of two moments: `cdp restore "
            f"{_restoring(home).read_text()}` again, or of another backup of this home."
        )
