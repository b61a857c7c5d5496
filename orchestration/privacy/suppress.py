"""`cdp privacy suppress`: nothing is sent to a person any more, though their data stays."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from orchestration.build_state import forget_build
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.lock import hold_lock
from orchestration.lookup import contact_points_of
from orchestration.privacy.person import forms_of
from orchestration.privacy.requests import Request, Requests
from orchestration.privacy.suppressions import (
    ContactPoint,
    land_suppressions,
    suppress,
    unsuppress,
)
from orchestration.warehouse.connect import open_warehouse, settled_engine


@dataclass(frozen=True)
class Suppressed:
    """What a request changed."""

    request: Request
    contact_points: int
    changed: int


def change_suppression(
    home: Home,
    identifier: str,
    kind: Literal["suppress", "unsuppress"],
    strategy: str = "connected",
    progress: Callable[[str], None] = lambda line: None,
    wait_seconds: float = 0,
) -> Suppressed:
    """Suppress a person's contact points, or let them be sent to again.

    An address or a number that no table knows yet is suppressed too: it may come with a file.
    """
    now = datetime.now(UTC)
    requests = Requests(home)
    with hold_lock(home, f"privacy {kind}", wait_seconds, progress):
        points = _contact_points(home, identifier, strategy)
        request = requests.receive(kind, strategy, now)
        request = requests.update(request, subjects=requests.subjects(points))
        changed = suppress(home, points, now) if kind == "suppress" else unsuppress(home, points)
        # Sends ask the list from now on; the reason in the tables comes with the next build.
        if settled_engine(home) is not None:
            with open_warehouse(home) as warehouse:
                warehouse.recover()
                if land_suppressions(home, warehouse):
                    forget_build(home)
        request = requests.update(
            request, status="finished", finished_at=now.isoformat(timespec="seconds")
        )
    return Suppressed(request, len(points), changed)


def _contact_points(home: Home, identifier: str, strategy: str) -> set[ContactPoint]:
    own = _typed(identifier)
    if strategy == "exact":
        if own is None:
            raise CdpError("Only an e-mail address or a phone number (+441…) can be suppressed.")
        return {own}
    found = {point for form in forms_of(identifier) for point in contact_points_of(home, form)}
    found |= {own} if own else set()
    if not found:
        raise CdpError(
            "Nobody with a contact point has this identifier. Give an e-mail address, a "
            "phone number as +441…, or any identifier of a customer who has one."
        )
    return found


def _typed(identifier: str) -> ContactPoint | None:
    """The contact point that an identifier is by itself."""
    for form in forms_of(identifier):
        if form.startswith("+") and form[1:].isdecimal():
            return "phone", form
    text = identifier.strip().lower()
    return ("email", text) if "@" in text and " " not in text else None
