"""What a destination is: the few answers the engine needs to keep its promises.

An adapter maps, sends and reports what the tool answered for each row. It decides nothing:
diff, batching, retries, consent and the ledger are the engine's, so no adapter can loosen them.
"""

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from orchestration.errors import CdpError

KILL_POINT_VARIABLE = "CDP_TEST_KILL_AT"

Payload = Mapping[str, str | None]


def reach(point: str) -> None:
    """Die here when a crash test names this point (`name`, or `name:3` for the third pass).

    SIGKILL leaves no chance to tidy up, which is the case the ledger is written for.
    """
    wanted = os.environ.get(KILL_POINT_VARIABLE)
    if not wanted:
        return
    name, _, passes = wanted.partition(":")
    if name != point:
        return
    left = int(passes or "1") - 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os.environ[KILL_POINT_VARIABLE] = f"{name}:{left}"


class Stopped(CdpError):
    """The tool refuses us, not a row (credentials, sender, folder): sending more is pointless."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BatchRefused(CdpError):
    """The tool refused a whole batch and says that none of it was applied; the engine bisects."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Answer(StrEnum):
    """What is known about one row after a call. Silence is UNKNOWN, never success."""

    ACKED = "acked"
    REJECTED = "rejected"
    RETRY = "retry"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Limits:
    """What one call may carry; `max_batch` None means everything at once (a whole file)."""

    max_batch: int | None


@dataclass(frozen=True)
class DestinationSpec:
    """The abilities from which the engine derives what it may do after a lost answer."""

    kind: Literal["message", "file"]
    limits: Limits
    idempotency: Literal["natural_key", "none"]
    delete: Literal["leave_out", "none"]
    batch: Literal["per_row", "atomic"]
    erasure: Literal["delete", "unsupported"]


@dataclass(frozen=True)
class Row:
    """One member of the audience as the payload model gives it, values as text."""

    key: str
    customer_id: str
    contact_point_type: str | None
    contact_point: str | None
    payload: Payload = field(repr=False)


@dataclass(frozen=True)
class Prepared:
    """A row the tool can take. `person_key` is what must not be reached twice by messages."""

    dest_key: str = field(repr=False)
    person_key: str = field(repr=False)
    payload: Payload = field(repr=False)


def prepare_message(row: Row) -> Prepared:
    """The keys of a message: a person is messaged once, and so is a contact point."""
    contact_point = (row.contact_point or "").strip().casefold()
    return Prepared(f"{contact_point}\n{row.customer_id}", contact_point, row.payload)


@dataclass(frozen=True)
class Invalid:
    """A row that would be refused, found before sending; the reason holds no personal data."""

    reason: str


@dataclass(frozen=True)
class Change:
    """One claimed change on its way out."""

    change_id: str
    operation: Literal["insert", "update", "delete"]
    idem_key: str
    dest_key: str = field(repr=False)
    contact_point: str | None = field(repr=False)
    payload: Payload = field(repr=False)


@dataclass(frozen=True)
class Member:
    """One desired member of a whole-file audience."""

    dest_key: str = field(repr=False)
    payload: Payload = field(repr=False)


@dataclass(frozen=True)
class SendContext:
    """What an adapter may know about the run it sends for."""

    run_id: str
    sync: str
    key_name: str
    columns: tuple[str, ...]
    members: Sequence[Member] = field(default=(), repr=False)


@dataclass(frozen=True)
class RowOutcome:
    """The tool's answer for one row.

    `scope` tells a refusal of this row from trouble of the whole tool: only the former counts
    against the row, and only the latter makes the engine pause.
    """

    change_id: str
    answer: Answer
    status: int | None = None
    code: str | None = None
    text: str | None = field(default=None, repr=False)
    dest_id: str | None = None
    retry_after: float | None = None
    scope: Literal["row", "destination"] = "row"


@dataclass(frozen=True)
class BatchResult:
    """Answers of one call; a row it does not mention is UNKNOWN."""

    outcomes: tuple[RowOutcome, ...]


@dataclass(frozen=True)
class CheckResult:
    """Whether the tool would take rows, found without writing any."""

    is_ok: bool
    message: str


@dataclass(frozen=True)
class RemoteState:
    """What the tool says it holds for a key."""

    is_present: bool
    dest_id: str | None = None


class Destination(Protocol):
    """A tool that receives rows."""

    @property
    def spec(self) -> DestinationSpec: ...

    def check(self) -> CheckResult:
        """Credentials, permission, object exists; writes nothing."""
        ...

    def prepare(self, row: Row) -> Prepared | Invalid:
        """Map and validate one row; pure, no network."""
        ...

    def send(self, batch: Sequence[Change], context: SendContext) -> BatchResult:
        """Send; raise `Stopped` or `BatchRefused` only when no row of the batch was applied."""
        ...

    def erase(self, keys: Iterable[str]) -> BatchResult:
        """Remove people for good; the outcomes' change_id is the key's position as text."""
        ...

    def close(self) -> None:
        """Let go of connections; safe to call twice."""
        ...


class LooksUp(Protocol):
    """The optional ability to ask the tool what it holds, which settles UNKNOWN rows."""

    def lookup(self, keys: Iterable[str]) -> Mapping[str, RemoteState]: ...
