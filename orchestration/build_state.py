"""What the last build left, on disk: whether one is unfinished, and what the finished one was.

A build that failed or was killed must be made again even where nothing new lands, and nobody may
publish what it left half done.
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from orchestration.home import Home


def _finished(home: Home) -> Path:
    return home.state / "build.json"


def _unfinished(home: Home) -> Path:
    return home.state / "build.unfinished"


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
