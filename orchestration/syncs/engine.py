"""Runs a sync: exactly its plan, one claim at a time, every answer on disk before the next.

The engine owns what no adapter may loosen: the lease, recovery after a death, consent at the
moment of claiming, retries, and the sum that shows nothing was lost.
"""

import contextlib
import random
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from orchestration.destinations.base import (
    Answer,
    BatchRefused,
    Destination,
    Member,
    RowOutcome,
    SendContext,
    Stopped,
    reach,
)
from orchestration.errors import CdpError, MissingSetting
from orchestration.home import Home
from orchestration.syncs.connections import (
    BadConnection,
    FileConnection,
    SmtpConnection,
    open_destination,
)
from orchestration.syncs.ledger import (
    RUN_COUNTS,
    Ledger,
    NewChange,
    OpenChange,
    RunRecord,
    Settlement,
)
from orchestration.syncs.plan import (
    Desired,
    Plan,
    config_hash,
    make_plan,
    make_removal,
    plan_sync,
    utc_now,
)
from orchestration.syncs.settings import SyncSettings
from orchestration.syncs.source import (
    ContactPoint,
    FileStamp,
    Publication,
    Refused,
    file_stamp,
    read_permissions,
)

__all__ = ["Plan", "Progress", "SyncResult", "decide_unknown", "plan_sync", "run_sync"]

Status = Literal["succeeded", "partial", "failed", "blocked", "already_running"]

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
# This many rows in a row met by a tool that does not answer: the others wait for it.
STRIKES = 3


class CountsDoNotAddUp(CdpError):
    """A planned change has no end; the run must not be called finished."""


@dataclass(frozen=True)
class Progress:
    """How far a run is; numbers only."""

    sync: str
    settled: int
    to_send: int


@dataclass(frozen=True)
class SyncResult:
    """How a run ended: status, why, and where each planned change is now."""

    sync: str
    run_id: str | None
    status: Status
    reason_code: str | None = None
    reason: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def planned(self) -> int:
        return sum(self.counts.get(name, 0) for name in ("insert", "update", "delete"))

    @property
    def ended(self) -> int:
        return sum(self.counts.get(state, 0) for state in RUN_COUNTS)

    @property
    def is_failure(self) -> bool:
        """Whether a scheduler should report it; a second runner is no failure."""
        return self.status in ("failed", "blocked")


@dataclass(frozen=True)
class Surroundings:
    """Time and chance, injectable so that tests need neither."""

    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


@dataclass(frozen=True)
class _End:
    """Why a run stops before all its changes were tried."""

    status: Status
    code: str
    message: str


def run_sync(
    home: Home,
    settings: SyncSettings,
    connection: SmtpConnection | FileConnection | None,
    *,
    confirm_first_run: bool = False,
    confirm_removals: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    surroundings: Surroundings | None = None,
) -> SyncResult:
    """Plan and send one sync; a rerun after success sends nothing.

    `should_stop` is asked before each claim, so that a scheduler's polite stop ends the run
    between two rows with the rest deferred.
    """
    outside = surroundings or Surroundings()
    name = settings.name
    is_repeatable = settings.meta.mode == "mirror"
    with Ledger.open(home) as ledger:
        if not ledger.acquire_lease(name, outside.clock()):
            return SyncResult(name, None, "already_running", reason="Already running.")
        try:
            resumed_from = ledger.recover(name, is_repeatable, outside.clock())
            run_id = f"{outside.clock():%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"
            ledger.start_run(
                run_id,
                name,
                settings.relation,
                config_hash(settings),
                outside.clock(),
                resumed_from,
            )
            try:
                plan = make_plan(
                    home,
                    settings,
                    connection,
                    ledger,
                    ledger.keys,
                    outside.clock(),
                    confirm_first_run,
                    confirm_removals,
                )
                if plan.blocks:
                    return _record_blocked(ledger, run_id, plan, outside)
                run = _Run(home, settings, ledger, plan, run_id, outside, progress, should_stop)
                return run.execute(connection)
            except BaseException:
                # An unforeseen fault is a death like any other: settle what it left.
                with contextlib.suppress(CdpError):
                    ledger.recover(name, is_repeatable, outside.clock())
                raise
        finally:
            with contextlib.suppress(CdpError):
                ledger.release_lease()


def decide_unknown(
    home: Home,
    settings: SyncSettings,
    was_delivered: bool,
    customer_ids: Sequence[str] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> int:
    """A person says what became of unknown messages (None: of all); gives how many."""
    with Ledger.open(home) as ledger:
        if not ledger.acquire_lease(settings.name, clock()):
            raise CdpError(f"{settings.name} is running; decide when it has finished.")
        try:
            return ledger.decide_unknown(settings.name, was_delivered, customer_ids, clock())
        finally:
            ledger.release_lease()


def _record_blocked(ledger: Ledger, run_id: str, plan: Plan, outside: Surroundings) -> SyncResult:
    """A run that wrote no change: what it would have sent counts as deferred."""
    ends = plan.settled_states
    ends["deferred"] = ends.get("deferred", 0) + plan.to_send
    ledger.record_blocked(run_id, plan.totals, ends, outside.clock())
    record = ledger.finish_run(
        run_id,
        "blocked",
        plan.blocks[0].code,
        " ".join(block.message for block in plan.blocks),
        outside.clock(),
    )
    return _result(record, "blocked")


def _result(record: RunRecord, status: Status) -> SyncResult:
    result = SyncResult(
        record.sync, record.run_id, status, record.reason_code, record.reason, record.counts
    )
    if result.planned != result.ended:
        raise CountsDoNotAddUp(
            f"{record.sync}, run {record.run_id}: {result.planned} changes were planned and "
            f"{result.ended} have an end. This is a fault of the engine; please report it."
        )
    return result


class _Gate:
    """Asks, for each row about to leave, whether its person still permits it."""

    def __init__(
        self, home: Home, settings: SyncSettings, plan: Plan, outside: Surroundings
    ) -> None:
        assert plan.publication is not None and plan.source_stamp is not None
        self._home = home
        self._consent = settings.meta.consent
        self._outside = outside
        self._publication: Publication = plan.publication
        self._planned_from: FileStamp = plan.source_stamp
        self._stamp: FileStamp | None = None
        self._permitted: dict[str, set[ContactPoint]] = {}
        self._asked: set[str] = set()

    @property
    def is_closed(self) -> bool:
        return self._consent.exempt is None

    def has_moved(self) -> bool:
        """Whether another file is published than the one the plan was read from."""
        return file_stamp(self._home) != self._planned_from

    def refuse_if_stale(self) -> None:
        self._publication.refuse_if_stale(self._consent, self._outside.clock())

    def look_up(self, wanted: Sequence[str], upcoming: Callable[[], Sequence[str]]) -> None:
        """Know the permissions of these customers as of the file published now."""
        if not self.is_closed:
            return
        now = file_stamp(self._home)
        if now == self._stamp and self._asked.issuperset(wanted):
            self.refuse_if_stale()
            return
        customer_ids = [*wanted, *upcoming()]
        self._publication, self._permitted = read_permissions(
            self._home, self._consent, customer_ids, self._outside.clock()
        )
        self._asked = set(customer_ids)
        self._stamp = now

    def permits(self, customer_id: str, point_type: str | None, point: str | None) -> bool:
        if not self.is_closed:
            return True
        return (point_type or "", point or "") in self._permitted.get(customer_id, set())


class _Run:
    """One execution of one plan."""

    def __init__(
        self,
        home: Home,
        settings: SyncSettings,
        ledger: Ledger,
        plan: Plan,
        run_id: str,
        outside: Surroundings,
        progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._home = home
        self._settings = settings
        self._ledger = ledger
        self._plan = plan
        self._run_id = run_id
        self._outside = outside
        self._progress = progress
        self._should_stop = should_stop
        self._members: list[Desired] = list(plan.members)
        self._settled = 0
        self._end: _End | None = None

    def execute(self, connection: SmtpConnection | FileConnection | None) -> SyncResult:
        """Write the plan, send it, and account for it."""
        self._ledger.write_plan(
            self._run_id,
            self._plan.changes,
            self._plan.totals,
            self._plan.standing_states,
            self._plan.leavers,
            self._outside.clock(),
        )
        reach("after_plan")
        if self._plan.to_send:
            assert connection is not None
            try:
                with open_destination(self._home, self._settings, connection) as destination:
                    self._send(destination)
            except (BadConnection, MissingSetting) as error:
                self._end = _End("failed", "connection_unusable", str(error))
        left = self._ledger.planned_ids(self._run_id)
        reason = self._end.code if self._end else "tries_exhausted"
        self._ledger.end_unsent(left, "deferred", reason, self._outside.clock())
        return self._finish()

    def _finish(self) -> SyncResult:
        states = self._ledger.states_of_run(self._run_id)
        status: Status = "succeeded"
        code = message = None
        answered = sum(states.get(state, 0) for state in ("acked", "rejected", "dead"))
        refused = states.get("rejected", 0) + states.get("dead", 0)
        allowed = self._settings.meta.alerts.rejected_pct
        if self._end is not None:
            status, code, message = self._end.status, self._end.code, self._end.message
        elif states.get("deferred") or states.get("unknown"):
            status, code = "partial", "changes_left_open"
            message = (
                f"{states.get('deferred', 0)} changes wait for the next run and "
                f"{states.get('unknown', 0)} may or may not have arrived."
            )
        elif answered and 100.0 * refused / answered > allowed:
            status, code = "partial", "too_many_rejected"
            message = (
                f"{refused} of {answered} changes were rejected, more than {allowed:g} % "
                "(meta.sync.alerts.rejected_pct)."
            )
        record = self._ledger.finish_run(self._run_id, status, code, message, self._outside.clock())
        return _result(record, status)

    def _send(self, destination: Destination) -> None:
        """Try what is planned, in at most `retry.in_run` rounds."""
        gate = _Gate(self._home, self._settings, self._plan, self._outside)
        rounds = self._settings.meta.retry.in_run
        for number in range(1, rounds + 1):
            is_last = number == rounds
            wait = self._round(destination, gate, is_last)
            if self._end is not None or is_last:
                return
            if not self._ledger.planned_ids(self._run_id):
                return
            if wait > LONGEST_WAIT_SECONDS:
                # The tool asks for more patience than a run has; the next run continues.
                return
            # Full jitter: many senders that failed together must not come back together.
            longest = min(LONGEST_WAIT_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (number - 1))
            self._outside.sleep(max(wait, longest * self._outside.chance()))
            self._ledger.renew_lease(self._outside.clock())

    def _round(self, destination: Destination, gate: _Gate, is_last: bool) -> float:
        """Send each planned change once; gives how long the tool asks to wait."""
        most = destination.spec.limits.max_batch
        is_whole = most is None
        wait, strikes = 0.0, 0
        try:
            if is_whole and gate.is_closed:
                self._drop_withdrawn(gate)
            pending = self._ledger.planned_ids(self._run_id)
            size = (
                max(1, len(pending))
                if most is None
                else min(most, self._settings.meta.limits.batch)
            )
            for start in range(0, len(pending), size):
                if self._should_stop():
                    self._end = _End("partial", "stopped", "The run was asked to stop.")
                    return 0.0
                if strikes >= STRIKES:
                    return wait
                part: Sequence[str] = pending[start : start + size]
                if not is_whole:
                    ahead = pending[start : start + max(size, self._settings.meta.limits.batch)]
                    part = self._withhold(gate, part, ahead)
                if not part:
                    continue
                outcomes = self._send_batch(destination, self._ledger.read(part), is_last)
                if self._end is not None:
                    return 0.0
                for outcome in outcomes:
                    wait = max(wait, outcome.retry_after or 0.0)
                troubled = all(
                    outcome.answer is Answer.RETRY and outcome.scope == "destination"
                    for outcome in outcomes
                )
                strikes = strikes + 1 if troubled else 0
        except Refused as refused:
            self._end = _End("partial", refused.code, str(refused))
        return wait

    def _withhold(self, gate: _Gate, part: Sequence[str], ahead: Sequence[str]) -> Sequence[str]:
        """The changes of a part whose people still permit them; the others are withheld."""
        gate.look_up(self._ledger.customers_of(part), lambda: self._ledger.customers_of(ahead))
        refused = [
            row.change.change_id
            for row in self._ledger.read(part)
            if row.change.operation != "delete"
            and not gate.permits(row.customer_id, row.contact_point_type, row.change.contact_point)
        ]
        self._end_withdrawn(refused)
        return [change_id for change_id in part if change_id not in refused]

    def _end_withdrawn(self, change_ids: Sequence[str]) -> None:
        if change_ids:
            self._ledger.end_unsent(
                change_ids, "withheld", "permission_withdrawn", self._outside.clock()
            )
            self._settled += len(change_ids)

    def _drop_withdrawn(self, gate: _Gate) -> None:
        """A whole file repeats everyone, so everyone's permission must still stand."""
        gate.refuse_if_stale()
        if not gate.has_moved():
            return
        gate.look_up([member.row.customer_id for member in self._members], lambda: [])
        dropped = {
            member.dest_key_hmac: member
            for member in self._members
            if not gate.permits(
                member.row.customer_id, member.row.contact_point_type, member.row.contact_point
            )
        }
        if not dropped:
            return
        self._members = [m for m in self._members if m.dest_key_hmac not in dropped]
        keys = {member.prepared.dest_key for member in dropped.values()}
        self._end_withdrawn(
            [
                row.change.change_id
                for row in self._ledger.read(self._ledger.planned_ids(self._run_id))
                if row.change.operation != "delete" and row.change.dest_key in keys
            ]
        )
        held = self._ledger.delivered(self._settings.name)
        removals: list[NewChange] = [
            make_removal(
                self._ledger.keys, self._settings.name, held[hashed], member.prepared.dest_key
            )
            for hashed, member in dropped.items()
            if hashed in held
        ]
        self._ledger.add_changes(self._run_id, removals, self._outside.clock())

    def _send_batch(
        self, destination: Destination, batch: Sequence[OpenChange], is_last: bool
    ) -> list[RowOutcome]:
        """Claim, send, settle; a batch refused whole is halved until the bad row is alone."""
        batch_id = uuid.uuid4().hex
        started_at = self._outside.clock()
        self._ledger.claim(batch, batch_id, started_at)
        reach("after_claim")
        context = SendContext(
            run_id=self._run_id,
            sync=self._settings.name,
            key_name=self._settings.meta.key,
            columns=tuple(self._settings.meta.fields),
            members=tuple(
                Member(member.prepared.dest_key, member.prepared.payload)
                for member in self._members
            ),
        )
        halves = False
        try:
            answers = destination.send([row.change for row in batch], context).outcomes
        except Stopped as stopped:
            self._end = _End("failed", stopped.code, str(stopped))
            answers = _answer_all(batch, Answer.RETRY, stopped.code, None)
        except BatchRefused as refused:
            halves = len(batch) > 1
            answers = _answer_all(
                batch, Answer.RETRY if halves else Answer.REJECTED, refused.code, refused.status
            )
        reach("before_settle")
        by_change = {outcome.change_id: outcome for outcome in answers}
        outcomes = [
            # Silence about a row is not success.
            by_change.get(row.change.change_id)
            or RowOutcome(row.change.change_id, Answer.UNKNOWN, code="no_answer_for_this_row")
            for row in batch
        ]
        stays_open = halves or self._end is not None
        settlements = [
            (
                row,
                Settlement(outcome, "planned")
                if stays_open and outcome.answer is Answer.RETRY
                else self._settlement(destination, row, outcome, is_last),
            )
            for row, outcome in zip(batch, outcomes, strict=True)
        ]
        self._ledger.settle(self._run_id, batch_id, settlements, started_at, self._outside.clock())
        if not halves:
            self._settled += sum(1 for _, end in settlements if end.state != "planned")
            self._progress(Progress(self._settings.name, self._settled, self._plan.to_send))
            return outcomes
        middle = len(batch) // 2
        results: list[RowOutcome] = []
        for half in (batch[:middle], batch[middle:]):
            if self._end is None:
                results += self._send_batch(destination, half, is_last)
        return results

    def _settlement(
        self, destination: Destination, row: OpenChange, outcome: RowOutcome, is_last: bool
    ) -> Settlement:
        """Where an answer leaves a change."""
        retry = self._settings.meta.retry
        is_spent = row.runs_tried + 1 >= retry.across_runs
        if outcome.answer is Answer.ACKED:
            return Settlement(outcome, "acked")
        if outcome.answer is Answer.REJECTED:
            return Settlement(outcome, "dead" if is_spent else "rejected", "rejected")
        if outcome.answer is Answer.UNKNOWN:
            may_repeat = destination.spec.idempotency == "natural_key"
            is_open = may_repeat and not is_last
            return Settlement(outcome, "planned" if is_open else "unknown", "no_clear_answer")
        if not is_last:
            return Settlement(outcome, "planned", "retry")
        if outcome.scope == "destination":
            return Settlement(outcome, "deferred", "destination_unavailable")
        return Settlement(outcome, "dead" if is_spent else "deferred", "tries_exhausted")


def _answer_all(
    batch: Sequence[OpenChange], answer: Answer, code: str, status: int | None
) -> tuple[RowOutcome, ...]:
    scope: Literal["row", "destination"] = "destination" if answer is Answer.RETRY else "row"
    return tuple(
        RowOutcome(row.change.change_id, answer, status=status, code=code, scope=scope)
        for row in batch
    )
