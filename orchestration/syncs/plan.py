"""The plan of a sync: what the destination should hold, compared with what the ledger says.

A plan writes nothing. Every difference is one change, and each either is to be sent or already
stands in a named state (withheld, invalid, rejected and cooling down, unknown, dead), so that
planned changes and their ends can be added up.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from orchestration.destinations.base import Invalid, Prepared, Row, prepare_message
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.syncs.connections import (
    FileConnection,
    SmtpConnection,
    build_destination,
)
from orchestration.syncs.ledger import Delivered, Keys, Ledger, NewChange, Standing
from orchestration.syncs.settings import SyncSettings
from orchestration.syncs.source import (
    FileStamp,
    Publication,
    Refused,
    Source,
    SourceRow,
    file_stamp,
    read_source,
)


@dataclass(frozen=True)
class Block:
    """Why a sync must not run as planned, and what to do about it."""

    code: str
    message: str


@dataclass(frozen=True)
class Desired:
    """One member the destination should hold."""

    row: Row = field(repr=False)
    prepared: Prepared = field(repr=False)
    dest_key_hmac: str
    person_hmac: str
    fp: str


@dataclass(frozen=True)
class Plan:
    """What a run would do: its new changes, what already stands, and what forbids it."""

    sync: str
    publication: Publication | None = None
    source_stamp: FileStamp | None = None
    rows_in: int = 0
    unchanged: int = 0
    changes: tuple[NewChange, ...] = field(default=(), repr=False)
    # Changes that were settled in an earlier run and stay so: (operation, state) -> how many.
    standing: Mapping[tuple[str, str], int] = field(default_factory=dict)
    members: tuple[Desired, ...] = field(default=(), repr=False)
    # Customers whose open rows no longer matter, because they left the audience.
    leavers: tuple[str, ...] = field(default=(), repr=False)
    blocks: tuple[Block, ...] = ()

    def _operations(self, operation: str) -> int:
        new = sum(1 for change in self.changes if change.operation == operation)
        return new + sum(n for (name, _), n in self.standing.items() if name == operation)

    @property
    def insert(self) -> int:
        return self._operations("insert")

    @property
    def update(self) -> int:
        return self._operations("update")

    @property
    def delete(self) -> int:
        return self._operations("delete")

    @property
    def to_send(self) -> int:
        """Changes that would leave."""
        return sum(1 for change in self.changes if change.state == "planned")

    @property
    def withheld(self) -> int:
        return self._in_state("withheld")

    @property
    def invalid(self) -> int:
        return self._in_state("invalid")

    def _in_state(self, state: str) -> int:
        return self.settled_states.get(state, 0)

    @property
    def settled_states(self) -> dict[str, int]:
        """Changes that will not be sent, by state."""
        counts: Counter[str] = Counter()
        counts.update(change.state for change in self.changes if change.state != "planned")
        counts.update(self.standing_states)
        return dict(counts)

    @property
    def standing_states(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for (_, state), number in self.standing.items():
            counts[state] += number
        return dict(counts)

    @property
    def unsent_reasons(self) -> dict[str, int]:
        """Reasons of new changes that will not be sent, for people to read."""
        reasons = (c.reason_code or "" for c in self.changes if c.state != "planned")
        return dict(Counter(reasons))

    @property
    def totals(self) -> dict[str, int | str | None]:
        """The numbers a run records before it sends."""
        return {
            "publication_id": self.publication.publication_id if self.publication else None,
            "code_hash": self.publication.code_hash if self.publication else None,
            "rows_in": self.rows_in,
            "n_insert": self.insert,
            "n_update": self.update,
            "n_delete": self.delete,
            "n_unchanged": self.unchanged,
        }


def utc_now() -> datetime:
    return datetime.now(UTC)


def config_hash(sync: SyncSettings) -> str:
    """Which settings a run was made with."""
    return hashlib.sha256(sync.meta.model_dump_json().encode()).hexdigest()[:16]


def plan_sync(
    home: Home,
    settings: SyncSettings,
    connection: SmtpConnection | FileConnection | None = None,
    *,
    confirm_first_run: bool = False,
    confirm_removals: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> Plan:
    """What a run would do now; reads, never writes."""
    ledger = Ledger.open_for_reading(home)
    keys = Keys.of(home)
    if ledger is None:
        return make_plan(
            home, settings, connection, None, keys, clock(), confirm_first_run, confirm_removals
        )
    with ledger:
        return make_plan(
            home, settings, connection, ledger, keys, clock(), confirm_first_run, confirm_removals
        )


def make_plan(
    home: Home,
    settings: SyncSettings,
    connection: SmtpConnection | FileConnection | None,
    ledger: Ledger | None,
    keys: Keys,
    now: datetime,
    confirm_first_run: bool,
    confirm_removals: bool,
) -> Plan:
    """The plan against an open ledger (None: there is none yet)."""
    try:
        # Taken before reading: a swap in between is then seen as a change, never missed.
        source_stamp = file_stamp(home)
        source = read_source(home, settings, now)
    except Refused as refused:
        return Plan(settings.name, blocks=(Block(refused.code, str(refused)),))
    delivered = ledger.delivered(settings.name) if ledger else {}
    standing = ledger.standing(settings.name) if ledger else {}
    if not source.rows and not delivered and not standing:
        return Plan(settings.name, source.publication, source_stamp)
    blocks: list[Block] = []
    prepare = _prepare_unconnected(settings)
    if connection is not None:
        try:
            prepare = build_destination(home, settings, connection).prepare
        except CdpError as error:
            blocks.append(Block("connection_unusable", str(error)))
    planner = _Planner(settings, ledger, keys, source, delivered, standing, prepare, now)
    if settings.meta.mode == "message":
        planner.plan_messages()
    else:
        planner.plan_mirror()
    plan = Plan(
        sync=settings.name,
        publication=source.publication,
        source_stamp=source_stamp,
        rows_in=len(source.rows),
        unchanged=planner.unchanged,
        changes=tuple(planner.changes),
        standing=dict(planner.still_standing),
        members=tuple(planner.members),
        leavers=tuple(planner.leavers()),
    )
    blocks += _guard(settings, plan, len(delivered), confirm_removals)
    if plan.to_send and connection is None:
        blocks.append(
            Block(
                "connection_missing",
                f"There is no connection {settings.meta.destination} in {home.connections.name}, "
                f"to which {settings.name} has {plan.to_send} changes to send. Add it there.",
            )
        )
    is_first = ledger is None or not ledger.has_sent(settings.name)
    needs_word = settings.meta.guards.first_run == "confirm" and not confirm_first_run
    if plan.to_send and is_first and needs_word:
        blocks.append(
            Block(
                "first_run_unconfirmed",
                f"This is the first run of {settings.name} and it would send {plan.to_send} "
                "changes. Look at `cdp sync plan`, then run it with --confirm-first-run.",
            )
        )
    return _with_blocks(plan, blocks)


def _with_blocks(plan: Plan, blocks: list[Block]) -> Plan:
    return Plan(**{**plan.__dict__, "blocks": tuple(blocks)}) if blocks else plan


def _guard(
    settings: SyncSettings, plan: Plan, held: int, confirm_removals: bool
) -> Iterator[Block]:
    """A broken model must not empty an audience."""
    if plan.rows_in < settings.min_rows:
        yield Block(
            "too_few_rows",
            f"{settings.relation} has {plan.rows_in} rows and meta.sync.guards.min_rows is "
            f"{settings.min_rows}. Nothing is sent and nobody is removed; correct the model.",
        )
    guards = settings.meta.guards
    is_large = plan.delete > guards.max_delete_rows
    is_large_share = held > 0 and 100.0 * plan.delete / held > guards.max_delete_pct
    if is_large and is_large_share and not confirm_removals:
        yield Block(
            "too_many_removals",
            f"{settings.name} would remove {plan.delete} of {held} members, more than "
            f"{guards.max_delete_pct:g} % and more than {guards.max_delete_rows} rows "
            "(meta.sync.guards). Look at `cdp sync plan`; if it is right, run it with "
            "--confirm-removals.",
        )


def _prepare_unconnected(settings: SyncSettings) -> Callable[[Row], Prepared | Invalid]:
    """Keys without an adapter, so that a plan can be counted before there is a connection."""
    if settings.meta.mode == "message":
        return lambda row: (
            prepare_message(row) if row.contact_point else Invalid("contact_point_missing")
        )
    return lambda row: Prepared(row.key, row.key, row.payload)


class _Planner:
    """Compares one source with one ledger."""

    def __init__(
        self,
        settings: SyncSettings,
        ledger: Ledger | None,
        keys: Keys,
        source: Source,
        delivered: Mapping[str, Delivered],
        standing: Mapping[str, Standing],
        prepare: Callable[[Row], Prepared | Invalid],
        now: datetime,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._keys = keys
        self._source = source
        self._delivered = delivered
        self._standing = standing
        self._prepare = prepare
        self._now = now
        self._wanted: set[str] = set()
        self.changes: list[NewChange] = []
        self.members: list[Desired] = []
        self.still_standing: Counter[tuple[str, str]] = Counter()
        self.unchanged = 0

    def plan_messages(self) -> None:
        """Everyone once: who was reached, or may have been, is not messaged again."""
        reached = {entry.customer_id: entry.state for entry in self._delivered.values()}
        contacts = {entry.person_hmac: entry.customer_id for entry in self._delivered.values()}
        planned_customers: set[str] = set()
        for source_row in self._source.rows:
            row = source_row.row
            self._wanted.add(row.customer_id)
            if row.customer_id in reached:
                if reached[row.customer_id] == "UNKNOWN":
                    self.still_standing["insert", "unknown"] += 1
                else:
                    self.unchanged += 1
                continue
            desired = self._desired(source_row)
            if desired is None:
                continue
            if row.customer_id in planned_customers:
                self._end_here(row, "invalid", "customer_repeated")
                continue
            # Rows come ordered by key, so the same one of two customers wins on every run.
            if contacts.setdefault(desired.person_hmac, row.customer_id) != row.customer_id:
                self._end_here(row, "invalid", "contact_point_shared")
                continue
            planned_customers.add(row.customer_id)
            self._send("insert", desired, None)

    def plan_mirror(self) -> None:
        """The destination shall hold exactly the permitted, valid members."""
        claimed: set[str] = set()
        for source_row in self._source.rows:
            row = source_row.row
            self._wanted.add(row.customer_id)
            desired = self._desired(source_row)
            if desired is None:
                continue
            if desired.dest_key_hmac in claimed:
                self._end_here(row, "invalid", "destination_key_shared")
                continue
            claimed.add(desired.dest_key_hmac)
            held = self._delivered.get(desired.dest_key_hmac)
            self.members.append(desired)
            if held is None:
                self._send("insert", desired, None)
            elif held.state == "present" and held.fp == desired.fp:
                self.unchanged += 1
            else:
                self._send("update", desired, held)
        if not self._settings.removes_leavers:
            return
        for dest_key_hmac, held in sorted(self._delivered.items()):
            if dest_key_hmac not in claimed:
                self.changes.append(self.removal(held))

    def leavers(self) -> Iterator[str]:
        """Customers with an open row who are no longer in the audience."""
        removed = {change.customer_id for change in self.changes if change.operation == "delete"}
        for customer_id, standing in self._standing.items():
            if standing.state == "unknown":
                continue
            if customer_id not in self._wanted and customer_id not in removed:
                yield customer_id

    def removal(self, held: Delivered) -> NewChange:
        """Taking out someone the destination holds or may hold."""
        assert self._ledger is not None
        dest_key = self._ledger.delivered_key(self._settings.name, held.dest_key_hmac)
        return make_removal(self._keys, self._settings.name, held, dest_key)

    def _desired(self, source_row: SourceRow) -> Desired | None:
        """The member to hold; None when it ends here (and a held one will be removed)."""
        row = source_row.row
        if not source_row.is_permitted:
            if not self._is_held(row):
                self._end_here(row, "withheld", source_row.withheld_reason)
            return None
        prepared = self._prepare(row)
        if isinstance(prepared, Invalid):
            if not self._is_held(row):
                self._end_here(row, "invalid", prepared.reason)
            return None
        content = [prepared.dest_key, row.contact_point, *sorted(prepared.payload.items())]
        dest_key_hmac = self._keys.hash(self._scoped(prepared.dest_key))
        is_same = prepared.person_key == prepared.dest_key
        return Desired(
            row,
            prepared,
            dest_key_hmac,
            dest_key_hmac if is_same else self._keys.hash(self._scoped(prepared.person_key)),
            self._keys.hash(json.dumps(content, ensure_ascii=False)),
        )

    def _is_held(self, row: Row) -> bool:
        """Whether a mirror holds this row, so that its removal is the change to plan."""
        is_mirror = self._settings.meta.mode == "mirror" and self._settings.removes_leavers
        return is_mirror and self._keys.hash(self._scoped(row.key)) in self._delivered

    def _scoped(self, key: str) -> str:
        return scoped(self._settings.name, key)

    def _end_here(self, row: Row, state: str, reason: str | None) -> None:
        """A change that is not sent; it is written once, not again on every run."""
        assert state in ("withheld", "invalid")
        before = self._standing.get(row.customer_id)
        if before is not None and (before.state, before.reason_code) == (state, reason):
            self.still_standing["insert", state] += 1
            return
        self.changes.append(
            NewChange(
                row.customer_id,
                "insert",
                "withheld" if state == "withheld" else "invalid",
                reason_code=reason,
            )
        )

    def _send(self, operation: str, desired: Desired, held: Delivered | None) -> None:
        """A change to send, unless the tool's earlier no still stands."""
        before = self._standing.get(desired.row.customer_id)
        is_same = before is not None and before.fp_after == desired.fp
        if before is not None and is_same and self._is_waiting(before):
            self.still_standing[operation, before.state] += 1
            return
        field_fps = {
            name: self._keys.hash(f"{name}\n{value}")[:16]
            for name, value in desired.prepared.payload.items()
        }
        known = held.field_fps if held else {}
        self.changes.append(
            NewChange(
                customer_id=desired.row.customer_id,
                operation="insert" if operation == "insert" else "update",
                state="planned",
                dest_key=desired.prepared.dest_key,
                dest_key_hmac=desired.dest_key_hmac,
                person_hmac=desired.person_hmac,
                changed_fields=tuple(
                    sorted(name for name, fp in field_fps.items() if known.get(name) != fp)
                ),
                fp_before=held.fp if held else None,
                fp_after=desired.fp,
                field_fps=field_fps,
                state_before=held.state if held else None,
                runs_tried=before.runs_tried if before is not None and is_same else 0,
                idem_key=self._keys.hash(
                    f"{self._settings.name}\n{operation}\n{desired.dest_key_hmac}\n{desired.fp}"
                ),
                contact_point_type=desired.row.contact_point_type,
                contact_point=desired.row.contact_point,
                payload=desired.prepared.payload,
            )
        )

    def _is_waiting(self, before: Standing) -> bool:
        if before.state == "dead":
            return True
        if before.state != "rejected" or before.settled_at is None:
            return False
        cool_down = timedelta(hours=self._settings.meta.retry.cool_down_hours)
        return self._now < before.settled_at + cool_down


def scoped(sync: str, key: str) -> str:
    """Hashed keys differ from sync to sync, so that what is published joins nothing."""
    return f"{sync}\n{key}"


def make_removal(keys: Keys, sync: str, held: Delivered, dest_key: str) -> NewChange:
    """The change that takes out a held key."""
    return NewChange(
        customer_id=held.customer_id,
        operation="delete",
        state="planned",
        dest_key=dest_key,
        dest_key_hmac=held.dest_key_hmac,
        person_hmac=held.person_hmac,
        fp_before=held.fp,
        state_before=held.state,
        idem_key=keys.hash(f"{sync}\ndelete\n{held.dest_key_hmac}\n{held.fp}"),
    )
