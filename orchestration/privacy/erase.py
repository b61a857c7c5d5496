"""`cdp privacy erase`: a person leaves every place, step by step, and can be killed at any point.

What is known of the person is written down (encrypted) before the first step, each step finds
nothing to do where it was done before, and a step that ended is not begun again. Tombstones come
first, so that whatever lands meanwhile stays out.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from orchestration.build_state import begin_build
from orchestration.destinations.base import reach
from orchestration.errors import CdpError
from orchestration.home import PROJECT, Home
from orchestration.landing.declarations import load_declarations
from orchestration.lock import hold_lock
from orchestration.privacy.backups import clean_backups
from orchestration.privacy.destinations import clean_destinations
from orchestration.privacy.engines import has_warehouse, reading
from orchestration.privacy.home_files import clean_files
from orchestration.privacy.landed import clean_landed
from orchestration.privacy.look import look_again
from orchestration.privacy.person import (
    CUSTOMER,
    Person,
    Strategy,
    find_person,
    forms_of,
    has_table,
    known_kinds,
)
from orchestration.privacy.raw import RawFinder
from orchestration.privacy.requests import Journal, Request, Requests, report_path
from orchestration.privacy.rows import NATIONAL, Needles, split_number
from orchestration.privacy.spelling import CODES
from orchestration.privacy.suppressions import unsuppress
from orchestration.privacy.tombstones import Named, Tombstones, write_private
from orchestration.privacy.warehouse import Counts, clean_warehouse
from orchestration.project import ensure_manifest
from orchestration.syncs import ledger_copy
from orchestration.syncs.export import export_ledger
from orchestration.syncs.ledger_erase import erase_people
from orchestration.warehouse.history import history_tables

Progress = Callable[[str], None]
Build = Callable[[Home, date, Progress], None]
DESTINATION = "destination/"
AFTER_DESTINATIONS = ("destinations", "ledger", "files")


class NobodyKnown(CdpError):
    """No table knows the identifier: there is nothing to erase, and nothing is remembered."""


@dataclass(frozen=True)
class Erased:
    """How an erasure ended; `was_before` tells one that had ended earlier."""

    request: Request
    counts: list[Counts]
    was_before: bool = False

    @property
    def left(self) -> int:
        return sum(each.left for each in self.counts)


def erase(
    home: Home,
    identifier: str,
    as_of: date,
    progress: Progress = lambda line: None,
    strategy: Strategy = "connected",
    kind: str | None = None,
    backup_folders: Sequence[Path] = (),
    wait_seconds: float = 0,
    build: Build | None = None,
) -> Erased:
    """Erase a person, or go on where an erasure of them was cut short.

    Raises `NobodyKnown` for somebody whom no table knows. `build` stands for the whole run that
    builds, checks, publishes and sends (tests of the other steps need none).
    """
    if not has_warehouse(home):
        raise CdpError("There is no warehouse yet, so nobody is in it: `cdp run` first.")
    with hold_lock(home, "privacy erase", wait_seconds, progress):
        requests = Requests(home)
        before = requests.find("erase", _asked_for(identifier, kind))
        if before is not None and not before.is_open and not _is_back(home, identifier, kind):
            return Erased(before, _kept_report(home, before), was_before=True)
        request = before if before is not None and before.is_open else None
        if request is None or not Journal(home, request.request_id).has_begun:
            request = _begin(home, requests, identifier, strategy, kind, request, progress)
        erasure = _Erasure(
            home, requests, request, as_of, backup_folders, progress, build or build_anew
        )
        return erasure.run()


def build_anew(home: Home, as_of: date, progress: Progress) -> None:
    """Build, check and publish without the person; mirrors are sent the removal."""
    # Importing Dagster takes seconds.
    from orchestration.pipeline import run_all

    run_all(home, as_of, progress, force=True)


def _asked_for(identifier: str, kind: str | None) -> set[Named]:
    """What somebody may have meant by an identifier, to find a request that was about it."""
    kinds = [kind] if kind else known_kinds()
    return {(each, form) for each in kinds for form in forms_of(identifier)}


def _is_back(home: Home, identifier: str, kind: str | None) -> bool:
    """Whether a table knows somebody again who was erased; tombstones should prevent it."""
    with reading(home) as connection:
        if not has_table(connection, "identity", "identity_redirects"):
            return False
        person = find_person(connection, identifier, "connected", kind)
    return person is not None and bool(person.identifiers)


def _begin(
    home: Home,
    requests: Requests,
    identifier: str,
    strategy: Strategy,
    kind: str | None,
    request: Request | None,
    progress: Progress,
) -> Request:
    """Look the person up and write down whom the steps are about."""
    progress("looking the person up")
    with reading(home) as connection:
        person = find_person(connection, identifier, strategy, kind)
        if person is None or not person.identifiers:
            raise NobodyKnown(
                "No table knows this identifier, so nothing was erased and nothing is "
                "remembered. Look at the spelling; a file that still waits in landing/ is known "
                "after `cdp run`."
            )
        request = request or requests.receive("erase", strategy, datetime.now(UTC))
        subjects = requests.subjects(
            person.identifiers | {(CUSTOMER, each) for each in person.customer_ids}
        )
        request = requests.update(request, status="validated", subjects=subjects)
        progress("looking for the person's rows")
        declarations = load_declarations(PROJECT, home.root)
        person, remembered = RawFinder.on(connection, declarations).with_rows(person)
    reach("erase_before_journal")
    Journal(home, request.request_id).begin(person, remembered)
    return request


class _Erasure:
    """The steps of one erasure."""

    def __init__(
        self,
        home: Home,
        requests: Requests,
        request: Request,
        as_of: date,
        backup_folders: Sequence[Path],
        progress: Progress,
        build: Build,
    ) -> None:
        self.build = build
        self.home = home
        self.requests = requests
        self.request = request
        self.as_of = as_of
        self.backup_folders = backup_folders
        self.progress = progress
        self.journal = Journal(home, request.request_id)
        self.person: Person = self.journal.person
        self.declarations = load_declarations(PROJECT, home.root)
        self.needles = Needles(self.person.identifiers, _calling_codes())

    def run(self) -> Erased:
        """Every step that is not done; what fails leaves a request that says so."""
        steps: dict[str, Callable[[], Iterable[Counts]]] = {
            "tombstones": self._remember,
            "landing": lambda: self._clean_files_in(self.home.landing),
            "archive": lambda: self._clean_files_in(self.home.archive),
            "warehouse": self._clean_warehouse,
            "build": self._build,
            "destinations": self._clean_destinations,
            "ledger": self._clean_ledger,
            "backups": self._clean_backups,
            "files": lambda: clean_files(self.home, self.person, self.needles),
        }
        self.request = self.requests.update(self.request, status="running", note="")
        ensure_manifest(self.home, self.as_of, self.progress)
        for name, step in steps.items():
            if self.journal.is_done(name):
                continue
            self.progress(f"erasing: {name}")
            try:
                counts = list(step())
            except Exception:
                self.request = self.requests.update(
                    self.request, status="failed", note=f"step {name} failed; run it again"
                )
                raise
            self.journal.end_step(name, counts)
            reach(f"erase_after_{name}")
        return self._end()

    def _end(self) -> Erased:
        """Look once more; only where nothing is left is the request finished."""
        self.progress("looking once more")
        counts = [Counts(**each) for each in self.journal.counts()]
        counts += look_again(self.home, self.declarations, self.person, self.needles)
        shutil.rmtree(self.home.scratch / "privacy_spill", ignore_errors=True)
        left = sum(each.left for each in counts)
        status = "partial" if left else "finished"
        finished_at = None if left else datetime.now(UTC).isoformat(timespec="seconds")
        note = f"{left} left: see the report, then run it again" if left else ""
        report = {
            "request_id": self.request.request_id,
            "strategy": self.request.strategy,
            "status": status,
            "places": [vars(each) for each in counts],
        }
        path = report_path(self.home, self.request.request_id)
        write_private(path, json.dumps(report, indent=2).encode())
        if left:
            # Where a destination is all that is left, the others need not be done again.
            is_more = any(each.left for each in counts if not each.place.startswith(DESTINATION))
            self.journal.forget_steps(None if is_more else AFTER_DESTINATIONS)
        else:
            self.journal.remove()
        self.request = self.requests.update(
            self.request, status=status, finished_at=finished_at, note=note
        )
        return Erased(self.request, counts)

    # Steps

    def _remember(self) -> Iterable[Counts]:
        named = {
            *self.person.identifiers,
            *((CUSTOMER, each) for each in self.person.customer_ids),
            *self.journal.remembered,
            *(
                (NATIONAL, split_number(value, _calling_codes())[1])
                for kind, value in self.person.identifiers
                if kind == "phone" and value.startswith("+")
            ),
        }
        added = Tombstones(self.home).add(named, self.request.request_id)
        unsuppress(self.home, self.person.identifiers)
        return [Counts("tombstones", note=f"{added} keyed hashes kept")]

    def _clean_files_in(self, folder: Path) -> Iterable[Counts]:
        return clean_landed(self.home, folder, self.declarations, self.person, self.progress)

    def _clean_warehouse(self) -> Iterable[Counts]:
        # Nothing is published from here on until a build has made all tables again.
        begin_build(self.home)
        clean_warehouse(
            self.home,
            self.declarations,
            self.person,
            history_tables(self.home.manifest),
            self.request.request_id,
            self.journal.note_warehouse,
        )
        return [Counts(**each) for each in self.journal.noted_warehouse()]

    def _build(self) -> Iterable[Counts]:
        self.build(self.home, self.as_of, self.progress)
        return [Counts("published", note="built and published anew")]

    def _clean_destinations(self) -> Iterable[Counts]:
        self._refuse_running_syncs()
        return clean_destinations(self.home, self.person, self.needles)

    def _clean_ledger(self) -> Iterable[Counts]:
        self._refuse_running_syncs()
        if any(each["left"] for each in self.journal.counts_of("destinations")):
            # Whoever is still at a destination must be found there by the ledger's keys.
            return [Counts("ledger", note="kept until every destination is done")]
        ids = self.person.customer_ids
        deliveries, changes = erase_people(self.home.ledger, ids, datetime.now(UTC))
        if self.home.ledger.exists():
            export_ledger(self.home)
        return [Counts("ledger", deliveries + changes, deliveries, changes)]

    def _refuse_running_syncs(self) -> None:
        sending = ledger_copy.running_syncs(self.home.ledger, datetime.now(UTC))
        if sending:
            raise CdpError(
                f"{', '.join(sending)} is being sent; wait for it to end, then run the erasure "
                "again: it goes on where it is."
            )

    def _clean_backups(self) -> Iterable[Counts]:
        return clean_backups(self.home, self.person, self.request.request_id, self.backup_folders)


def _calling_codes() -> set[str]:
    path = PROJECT / "seeds" / f"{CODES}.csv"
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return {line.split(",")[1] for line in lines if line}


def _kept_report(home: Home, request: Request) -> list[Counts]:
    path = report_path(home, request.request_id)
    if not path.exists():
        return []
    told: dict[str, Any] = json.loads(path.read_text())
    return [Counts(**each) for each in told["places"]]
