"""The log of privacy requests, and the journal by which a killed erasure goes on.

The log holds no personal value: whom a request is about is a keyed hash. An erasure must know
until its end whom it erases, also when the warehouse no longer does: so long its journal holds
that, encrypted with CDP_LEDGER_KEY, and loses it with the last step.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from orchestration.home import Home
from orchestration.privacy.person import Person
from orchestration.privacy.tombstones import Hasher, Named, privacy_folder, write_private
from orchestration.syncs.ledger import Keys

# A month, as the law of the European Union has it (GDPR, article 12).
DAYS_TO_ANSWER = 30
Kind = Literal["access", "erase", "suppress", "unsuppress"]
Status = Literal["received", "validated", "running", "partial", "failed", "finished"]
OPEN = ("received", "validated", "running", "partial", "failed")


@dataclass(frozen=True)
class Request:
    """One request; `subjects` are keyed hashes of the identifiers it is about."""

    request_id: str
    kind: Kind
    strategy: str
    status: Status
    received_at: str
    due_on: str
    finished_at: str | None = None
    subjects: tuple[str, ...] = field(default=(), repr=False)
    note: str = ""

    def days_left(self, today: date) -> int | None:
        """Days until it must be answered; None once it is."""
        if self.status == "finished":
            return None
        return (date.fromisoformat(self.due_on) - today).days

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


class Requests:
    """The log of a home."""

    def __init__(self, home: Home) -> None:
        self.path = privacy_folder(home) / "requests.json"
        self._hasher = Hasher.of(home)

    def all(self) -> list[Request]:
        if not self.path.exists():
            return []
        told = json.loads(self.path.read_text())
        return [Request(**{**each, "subjects": tuple(each["subjects"])}) for each in told]

    def receive(self, kind: Kind, strategy: str, now: datetime) -> Request:
        """Write down that somebody asked, before anything is looked up."""
        request = Request(
            request_id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
            kind=kind,
            strategy=strategy,
            status="received",
            received_at=now.astimezone(UTC).isoformat(timespec="seconds"),
            due_on=(now.date() + timedelta(days=DAYS_TO_ANSWER)).isoformat(),
        )
        self._write([*self.all(), request])
        return request

    def update(self, request: Request, **changes: Any) -> Request:
        changed = replace(request, **changes)
        self._write(
            [changed if each.request_id == request.request_id else each for each in self.all()]
        )
        return changed

    def subjects(self, named: Iterable[Named]) -> tuple[str, ...]:
        """Whom a request is about, as it is written down."""
        return tuple(sorted(self._subject(kind, value) for kind, value in named))

    def find(self, kind: Kind, named: Iterable[Named]) -> Request | None:
        """The newest request of a kind about one of these identifiers."""
        wanted = set(self.subjects(named))
        found = [
            each for each in self.all() if each.kind == kind and wanted.intersection(each.subjects)
        ]
        return found[-1] if found else None

    def _subject(self, kind: str, value: str) -> str:
        return self._hasher.hash("subject of a request", kind, value)

    def _write(self, requests: list[Request]) -> None:
        content = json.dumps([asdict(each) for each in requests], indent=1)
        write_private(self.path, content.encode())


class Journal:
    """How far an erasure is: whom it erases (encrypted), steps done, what each counted."""

    def __init__(self, home: Home, request_id: str) -> None:
        self.path = privacy_folder(home) / f"{request_id}.journal"
        self._home = home
        self._told: dict[str, Any] = {"person": None, "remembered": None, "done": {}}
        if self.path.exists():
            self._told = json.loads(self.path.read_text())

    def begin(self, person: Person, remembered: Iterable[Named]) -> None:
        keys = Keys.of(self._home)
        self._told["person"] = keys.encrypt(person.dump()).decode()
        self._told["remembered"] = keys.encrypt(json.dumps(sorted(remembered))).decode()
        self._write()

    @property
    def has_begun(self) -> bool:
        return self._told["person"] is not None

    @property
    def person(self) -> Person:
        return Person.load(Keys.of(self._home).decrypt(self._told["person"].encode()))

    @property
    def remembered(self) -> set[Named]:
        told = Keys.of(self._home).decrypt(self._told["remembered"].encode())
        return {(kind, value) for kind, value in json.loads(told)}

    def is_done(self, step: str) -> bool:
        return step in self._told["done"]

    def counts(self) -> list[dict[str, Any]]:
        return [each for counts in self._told["done"].values() for each in counts]

    def end_step(self, step: str, counts: Iterable[Any]) -> None:
        """A step is done; what it counted stays for the report."""
        self._told["done"][step] = [vars(each) for each in counts]
        self._write()

    def counts_of(self, step: str) -> list[dict[str, Any]]:
        counted: list[dict[str, Any]] = self._told["done"].get(step, [])
        return counted

    def note_warehouse(self, counts: Iterable[Any]) -> None:
        """What is found in the warehouse, before the file without it takes its place.

        Killed right after that, the next run finds nothing there: what was noted first counts.
        """
        known = {each["place"]: each for each in self.noted_warehouse()}
        found = {each.place: vars(each) for each in counts}
        self._told["warehouse"] = list({**found, **known}.values())
        self._write()

    def noted_warehouse(self) -> list[dict[str, Any]]:
        noted: list[dict[str, Any]] = self._told.get("warehouse", [])
        return noted

    def forget_steps(self, steps: Iterable[str] | None) -> None:
        """These steps, or all, are to be done again."""
        for step in list(self._told["done"]) if steps is None else steps:
            self._told["done"].pop(step, None)
        self._write()

    def remove(self) -> None:
        """Nothing needs to know any more who it was."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        write_private(self.path, json.dumps(self._told).encode())


def report_path(home: Home, request_id: str) -> Path:
    """Where the report of a request lies: places and numbers, no personal value."""
    return privacy_folder(home) / f"{request_id}.report.json"
