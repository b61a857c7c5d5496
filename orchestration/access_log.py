"""Who saw personal values, when and why: one line of JSON for each time, in `state/`."""

import getpass
import json
import os
from datetime import UTC, datetime

from orchestration.errors import CdpError
from orchestration.home import Home


def log_unmasking(home: Home, command: str, reason: str, customer_id: str | None = None) -> None:
    """Append to the log before anything is shown; where it cannot be written nothing is.

    The line names the customer by our own id, never by a personal value.
    """
    if not reason.strip():
        raise CdpError('Say why personal values are shown: --unmask "call of the customer, …".')
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "user": _user(),
        "command": command,
        "customer_id": customer_id,
        "reason": reason.strip(),
    }
    try:
        home.state.mkdir(parents=True, exist_ok=True)
        place = os.open(home.unmaskings, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(place, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CdpError(
            f"The log {home.unmaskings} cannot be written ({error.strerror}), so nothing is shown."
        ) from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
