"""The ledger: what was delivered, what is on its way, and what is not known.

SQLite with full durability, because a send may last hours and every answer must be on disk
before the next row leaves (DuckDB lets one process in at a time). A row is claimed before the
first byte leaves: `inflight` in the outbox and UNKNOWN in `delivered`, in one commit. Whatever
happens after that, the next run knows that this person may have been reached.

People stand in it as a keyed hash; the few plain values a send needs are encrypted and erased
when the row settles.
"""

import hashlib
import hmac
import json
import os
import socket
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography.fernet import Fernet, InvalidToken

from orchestration.build_state import refuse_half_restored
from orchestration.destinations.base import Answer, Change, RowOutcome
from orchestration.errors import CdpError
from orchestration.home import Home, read_secret
from orchestration.syncs.scrub import scrub

LEASE_LENGTH = timedelta(minutes=15)
RUN_COUNTS = (
    "acked",
    "rejected",
    "withheld",
    "invalid",
    "deferred",
    "unknown",
    "superseded",
    "dead",
)
STATES = ("planned", "inflight", *RUN_COUNTS)

SCHEMA = """
create table if not exists meta (
    key text primary key,
    value text not null
) strict;
create table if not exists lease (
    sync text primary key,
    owner text not null,
    host text not null,
    pid integer not null,
    process_started text not null,
    expires_at text not null
) strict;
create table if not exists delivered (
    sync text not null,
    dest_key_hmac text not null,
    person_hmac text not null,
    customer_id text not null,
    dest_key_encrypted blob,
    fp text,
    field_fps text,
    state text not null check (state in ('present', 'absent', 'UNKNOWN')),
    dest_id text,
    first_acked_at text,
    last_acked_at text,
    changed_at text not null,
    primary key (sync, dest_key_hmac)
) strict;
create table if not exists outbox (
    change_number integer primary key,
    change_id text not null unique,
    run_id text not null,
    sync text not null,
    customer_id text not null,
    dest_key_hmac text,
    person_hmac text,
    operation text not null check (operation in ('insert', 'update', 'delete')),
    state text not null check (state in ('planned', 'inflight', 'acked', 'rejected', 'withheld',
        'invalid', 'deferred', 'unknown', 'superseded', 'dead')),
    reason_code text,
    changed_fields text,
    fp_before text,
    fp_after text,
    field_fps text,
    state_before text,
    content_encrypted blob,
    attempts integer not null default 0,
    runs_tried integer not null default 0,
    idem_key text,
    first_attempt_at text,
    planned_at text not null,
    settled_at text,
    closed_at text,
    dest_id text,
    status_code integer,
    error_code text,
    error_text_scrubbed text,
    batch_id text
) strict;
create index if not exists outbox_by_run on outbox (run_id, state);
create index if not exists outbox_by_customer on outbox (sync, customer_id, change_number);
create table if not exists runs (
    run_id text primary key,
    sync text not null,
    config_hash text not null,
    code_hash text,
    model_relation text not null,
    publication_id text,
    started_at text not null,
    planned_at text,
    finished_at text,
    status text not null check (status in
        ('running', 'succeeded', 'partial', 'failed', 'blocked', 'crashed')),
    reason_code text,
    reason text,
    rows_in integer not null default 0,
    n_insert integer not null default 0,
    n_update integer not null default 0,
    n_delete integer not null default 0,
    n_unchanged integer not null default 0,
    standing text not null default '{}',
    n_acked integer not null default 0,
    n_rejected integer not null default 0,
    n_withheld integer not null default 0,
    n_invalid integer not null default 0,
    n_deferred integer not null default 0,
    n_unknown integer not null default 0,
    n_superseded integer not null default 0,
    n_dead integer not null default 0,
    n_calls integer not null default 0,
    resumed_from_run_id text
) strict;
create index if not exists runs_by_sync on runs (sync, started_at);
create table if not exists attempts (
    attempt_id integer primary key,
    change_id text not null,
    run_id text not null,
    batch_id text not null,
    started_at text not null,
    ended_at text not null,
    outcome text not null,
    status_code integer,
    error_code text,
    retry_after_s real
) strict;
"""


class LedgerError(CdpError):
    """The ledger cannot be used as it is; nothing was sent."""


class LeaseLost(CdpError):
    """Another runner took over this sync; this one must not send another byte."""


@dataclass(frozen=True)
class Delivered:
    """What the ledger believes a destination holds for one key."""

    dest_key_hmac: str
    person_hmac: str
    customer_id: str
    fp: str | None
    field_fps: Mapping[str, str]
    state: str


@dataclass(frozen=True)
class Standing:
    """The latest change of a customer, when it did not end in an acknowledgement."""

    state: str
    operation: str
    reason_code: str | None
    fp_after: str | None
    settled_at: datetime | None
    runs_tried: int


@dataclass(frozen=True)
class NewChange:
    """A change as the plan hands it over; `state` is where it starts, or already ends."""

    customer_id: str
    operation: Literal["insert", "update", "delete"]
    state: Literal["planned", "withheld", "invalid"]
    reason_code: str | None = None
    dest_key: str | None = field(default=None, repr=False)
    dest_key_hmac: str | None = None
    person_hmac: str | None = None
    changed_fields: tuple[str, ...] = ()
    fp_before: str | None = None
    fp_after: str | None = None
    field_fps: Mapping[str, str] = field(default_factory=dict)
    state_before: str | None = None
    runs_tried: int = 0
    idem_key: str = ""
    contact_point_type: str | None = None
    contact_point: str | None = field(default=None, repr=False)
    payload: Mapping[str, str | None] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class OpenChange:
    """A change read back from the outbox, decrypted for sending."""

    change: Change
    customer_id: str
    contact_point_type: str | None
    runs_tried: int


@dataclass(frozen=True)
class Settlement:
    """Where a change ends, or `planned` when it will be tried again in this run."""

    outcome: RowOutcome
    state: str
    reason_code: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One row of `runs`."""

    run_id: str
    sync: str
    status: str
    reason_code: str | None
    reason: str | None
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, int]


class Keys:
    """The two secrets at work: hashing for lookups, encryption for what must be read back."""

    def __init__(self, pepper: str, ledger_key: str) -> None:
        self._pepper = pepper.encode()
        try:
            self._cipher = Fernet(ledger_key)
        except ValueError:
            raise LedgerError(
                "CDP_LEDGER_KEY is not a key: it must be 32 bytes in URL-safe base64, as "
                "`cdp doctor --make-keys` makes it."
            ) from None
        self.fingerprints = {
            "CDP_ID_PEPPER": self.hash("fingerprint of the pepper"),
            "CDP_LEDGER_KEY": hmac.new(
                ledger_key.encode(), b"fingerprint of the ledger key", hashlib.sha256
            ).hexdigest(),
        }

    @classmethod
    def of(cls, home: Home) -> "Keys":
        return cls(read_secret(home, "CDP_ID_PEPPER"), read_secret(home, "CDP_LEDGER_KEY"))

    def hash(self, text: str) -> str:
        return hmac.digest(self._pepper, text.encode(), "sha256").hex()

    def encrypt(self, text: str) -> bytes:
        return self._cipher.encrypt(text.encode())

    def decrypt(self, token: bytes) -> str:
        try:
            return self._cipher.decrypt(token).decode()
        except InvalidToken:
            raise LedgerError(
                "A row of the ledger cannot be decrypted with CDP_LEDGER_KEY."
            ) from None


def stamp(moment: datetime) -> str:
    """UTC text that sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def unstamp(text: str | None) -> datetime | None:
    if text is None:
        return None
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


class Ledger:
    """One open ledger; use it as a context manager."""

    def __init__(self, connection: sqlite3.Connection, keys: Keys) -> None:
        self._connection = connection
        self.keys = keys
        self._owner: str | None = None
        self._sync: str | None = None

    @classmethod
    def open(cls, home: Home) -> "Ledger":
        """The home's ledger for writing, made when missing; refuses other keys than its own."""
        refuse_half_restored(home)
        keys = Keys.of(home)
        try:
            home.state.mkdir(parents=True, exist_ok=True)
            if not home.ledger.exists():
                # Made with its mode before SQLite opens it, which gives -wal and -shm the same.
                os.close(os.open(home.ledger, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(home.ledger, timeout=30, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as error:
            raise _cannot_write(error) from None
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            connection.execute("pragma secure_delete = on")
            connection.execute("pragma foreign_keys = on")
            ledger = cls(connection, keys)
            with ledger._transaction():
                for statement in SCHEMA.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
                ledger._check_fingerprints(may_write=True)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _cannot_write(error) from None
        except CdpError:
            connection.close()
            raise
        return ledger

    @classmethod
    def open_for_reading(cls, home: Home) -> "Ledger | None":
        """The home's ledger, never written to; None when there is none yet."""
        if not home.ledger.exists() or home.ledger.stat().st_size == 0:
            return None
        keys = Keys.of(home)
        connection = sqlite3.connect(
            f"{home.ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=30, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        ledger = cls(connection, keys)
        try:
            ledger._check_fingerprints(may_write=False)
        except CdpError:
            connection.close()
            raise
        return ledger

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    # Lease

    def acquire_lease(self, sync: str, now: datetime) -> bool:
        """Become the only runner of a sync; False when a living one has it."""
        host = socket.gethostname()
        with self._transaction():
            held = self._connection.execute("select * from lease where sync = ?", [sync]).fetchone()
            if held is not None and held["expires_at"] > stamp(now):
                is_here = held["host"] == host
                if not is_here or process_start(held["pid"]) == held["process_started"]:
                    return False
            owner = uuid.uuid4().hex
            self._connection.execute(
                "insert or replace into lease values (?, ?, ?, ?, ?, ?)",
                [
                    sync,
                    owner,
                    host,
                    os.getpid(),
                    process_start(os.getpid()) or "",
                    stamp(now + LEASE_LENGTH),
                ],
            )
        self._owner, self._sync = owner, sync
        return True

    def release_lease(self) -> None:
        """Let the next runner in."""
        with self._transaction():
            self._connection.execute("delete from lease where owner = ?", [self._owner])
        self._owner = None

    def renew_lease(self, now: datetime) -> None:
        """Still here; raises when another runner has taken over."""
        with self._transaction():
            self._hold_lease(now)

    def _hold_lease(self, now: datetime) -> None:
        renewed = self._connection.execute(
            "update lease set expires_at = ? where sync = ? and owner = ?",
            [stamp(now + LEASE_LENGTH), self._sync, self._owner],
        )
        if renewed.rowcount != 1:
            raise LeaseLost(
                f"Another runner took over {self._sync} while this one was stalled; it finishes "
                "the work."
            )

    # Recovery

    def recover(self, sync: str, is_repeatable: bool, now: datetime) -> str | None:
        """Settle what a dead runner left; gives its run, if there was one.

        What it had claimed may have arrived. A repeatable change is planned anew from the
        UNKNOWN that claiming wrote; a message becomes unknown and stays so.
        """
        with self._transaction():
            self._hold_lease(now)
            dead = [
                row["run_id"]
                for row in self._connection.execute(
                    "select run_id from runs where sync = ? and status = 'running' "
                    "order by started_at",
                    [sync],
                )
            ]
            for run_id in dead:
                self._connection.execute(
                    """
                    update outbox set state = ?, reason_code = 'runner_died', settled_at = ?,
                        content_encrypted = null
                    where run_id = ? and state = 'inflight'
                    """,
                    ["superseded" if is_repeatable else "unknown", stamp(now), run_id],
                )
                self._connection.execute(
                    """
                    update outbox set state = 'superseded', reason_code = 'runner_died',
                        settled_at = ?, content_encrypted = null
                    where run_id = ? and state = 'planned'
                    """,
                    [stamp(now), run_id],
                )
                self._close_run(run_id, "crashed", "runner_died", None, now)
        return dead[-1] if dead else None

    # Reading for the plan

    def delivered(self, sync: str) -> dict[str, Delivered]:
        """What the destination holds or may hold, by hashed key."""
        rows = self._connection.execute(
            "select * from delivered where sync = ? and state <> 'absent'", [sync]
        )
        return {
            row["dest_key_hmac"]: Delivered(
                row["dest_key_hmac"],
                row["person_hmac"],
                row["customer_id"],
                row["fp"],
                json.loads(row["field_fps"] or "{}"),
                row["state"],
            )
            for row in rows
        }

    def has_sent(self, sync: str) -> bool:
        """Whether this sync ever let a row leave."""
        found = self._connection.execute(
            "select 1 from delivered where sync = ? limit 1", [sync]
        ).fetchone()
        return found is not None

    def delivered_key(self, sync: str, dest_key_hmac: str) -> str:
        """The plain key of a delivered row, needed to remove it."""
        row = self._connection.execute(
            "select dest_key_encrypted from delivered where sync = ? and dest_key_hmac = ?",
            [sync, dest_key_hmac],
        ).fetchone()
        return self.keys.decrypt(row["dest_key_encrypted"])

    def standing(self, sync: str) -> dict[str, Standing]:
        """Each customer's latest change that is neither acknowledged nor closed."""
        rows = self._connection.execute(
            f"""
            select customer_id, state, operation, reason_code, fp_after, settled_at, runs_tried
            from ({_LATEST})
            where closed_at is null
                and state in ('withheld', 'invalid', 'rejected', 'deferred', 'unknown', 'dead')
            """,
            [sync],
        )
        return {
            row["customer_id"]: Standing(
                row["state"],
                row["operation"],
                row["reason_code"],
                row["fp_after"],
                unstamp(row["settled_at"]),
                row["runs_tried"],
            )
            for row in rows
        }

    # Writing a run

    def start_run(
        self, run_id: str, sync: str, relation: str, config_hash: str, now: datetime,
        resumed_from: str | None,
    ) -> None:  # fmt: skip
        with self._transaction():
            self._hold_lease(now)
            self._connection.execute(
                """
                insert into runs (run_id, sync, config_hash, model_relation, started_at, status,
                    resumed_from_run_id)
                values (?, ?, ?, ?, ?, 'running', ?)
                """,
                [run_id, sync, config_hash, relation, stamp(now), resumed_from],
            )

    def write_plan(
        self,
        run_id: str,
        changes: Sequence[NewChange],
        totals: Mapping[str, int | str | None],
        standing: Mapping[str, int],
        leavers: Sequence[str],
        now: datetime,
    ) -> None:
        """The plan as open rows, in one commit; `standing` counts changes already settled."""
        assert self._sync is not None
        with self._transaction():
            self._hold_lease(now)
            names = ", ".join(f"{name} = ?" for name in totals)
            self._connection.execute(
                f"update runs set {names}, planned_at = ?, standing = ? where run_id = ?",
                [*totals.values(), stamp(now), json.dumps(dict(standing)), run_id],
            )
            self._connection.executemany(
                f"update outbox set closed_at = ? where change_number = "
                f"(select change_number from ({_LATEST}) where customer_id = ?)",
                [(stamp(now), self._sync, customer_id) for customer_id in leavers],
            )
            self._insert_changes(run_id, changes, now)

    def add_changes(self, run_id: str, changes: Sequence[NewChange], now: datetime) -> list[str]:
        """Changes that became necessary after planning (a permission withdrawn meanwhile)."""
        with self._transaction():
            self._hold_lease(now)
            for operation in ("insert", "update", "delete"):
                count = sum(1 for change in changes if change.operation == operation)
                self._connection.execute(
                    f"update runs set n_{operation} = n_{operation} + ? where run_id = ?",
                    [count, run_id],
                )
            return self._insert_changes(run_id, changes, now)

    def _insert_changes(
        self, run_id: str, changes: Sequence[NewChange], now: datetime
    ) -> list[str]:
        moment = stamp(now)
        ids = [uuid.uuid4().hex for _ in changes]
        self._connection.executemany(
            """
            insert into outbox (change_id, run_id, sync, customer_id, dest_key_hmac, person_hmac,
                operation, state, reason_code, changed_fields, fp_before, fp_after, field_fps,
                state_before, content_encrypted, runs_tried, idem_key, planned_at, settled_at)
            values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                (
                    change_id,
                    run_id,
                    self._sync,
                    change.customer_id,
                    change.dest_key_hmac,
                    change.person_hmac,
                    change.operation,
                    change.state,
                    change.reason_code,
                    json.dumps(list(change.changed_fields)),
                    change.fp_before,
                    change.fp_after,
                    json.dumps(dict(change.field_fps)),
                    change.state_before,
                    self._content(change) if change.state == "planned" else None,
                    change.runs_tried,
                    change.idem_key,
                    moment,
                    None if change.state == "planned" else moment,
                )
                for change_id, change in zip(ids, changes, strict=True)
            ),
        )
        return ids

    def _content(self, change: NewChange) -> bytes:
        content = {
            "dest_key": change.dest_key,
            "contact_point_type": change.contact_point_type,
            "contact_point": change.contact_point,
            "payload": dict(change.payload),
        }
        return self.keys.encrypt(json.dumps(content, ensure_ascii=False))

    # Sending

    def planned_ids(self, run_id: str) -> list[str]:
        """Changes still to be sent, removals first: who asked to go does not wait for others."""
        rows = self._connection.execute(
            """
            select change_id from outbox where run_id = ? and state = 'planned'
            order by operation <> 'delete', change_number
            """,
            [run_id],
        )
        return [row["change_id"] for row in rows]

    def customers_of(self, change_ids: Sequence[str]) -> list[str]:
        """Whose changes these are."""
        return [row["customer_id"] for row in self._rows(change_ids, "customer_id")]

    def read(self, change_ids: Sequence[str]) -> list[OpenChange]:
        """Changes ready for sending, in the order asked for."""
        found = {}
        for row in self._rows(change_ids, "*"):
            if row["content_encrypted"] is None:
                raise LeaseLost(f"A change of {self._sync} was settled by another runner.")
            content = json.loads(self.keys.decrypt(row["content_encrypted"]))
            change = Change(
                change_id=row["change_id"],
                operation=row["operation"],
                idem_key=row["idem_key"],
                dest_key=content["dest_key"],
                contact_point=content["contact_point"],
                payload=content["payload"],
            )
            found[change.change_id] = OpenChange(
                change, row["customer_id"], content["contact_point_type"], row["runs_tried"]
            )
        return [found[change_id] for change_id in change_ids]

    def claim(self, changes: Sequence[OpenChange], batch_id: str, now: datetime) -> None:
        """Write, before the first byte leaves, that these may arrive."""
        moment = stamp(now)
        with self._transaction():
            self._hold_lease(now)
            claimed = self._connection.executemany(
                """
                update outbox set state = 'inflight', attempts = attempts + 1, batch_id = ?,
                    first_attempt_at = coalesce(first_attempt_at, ?)
                where change_id = ? and state = 'planned'
                """,
                [(batch_id, moment, change.change.change_id) for change in changes],
            )
            if claimed.rowcount != len(changes):
                raise LeaseLost(f"A change of {self._sync} was taken by another runner.")
            self._mark_unknown(changes, moment)
            self._connection.execute(
                "update runs set n_calls = n_calls + 1 "
                "where run_id = (select run_id from outbox where change_id = ?)",
                [changes[0].change.change_id],
            )

    def _mark_unknown(self, changes: Sequence[OpenChange], moment: str) -> None:
        """The write-ahead: without it, who leaves while their add is in flight stays for ever."""
        self._connection.executemany(
            """
            insert into delivered (sync, dest_key_hmac, person_hmac, customer_id,
                dest_key_encrypted, state, changed_at)
            select sync, dest_key_hmac, person_hmac, customer_id, ?, 'UNKNOWN', ?
            from outbox where change_id = ?
            on conflict (sync, dest_key_hmac) do update set state = 'UNKNOWN',
                changed_at = excluded.changed_at, customer_id = excluded.customer_id,
                dest_key_encrypted = excluded.dest_key_encrypted
            """,
            (
                (self.keys.encrypt(change.change.dest_key), moment, change.change.change_id)
                for change in changes
            ),
        )

    def settle(
        self,
        run_id: str,
        batch_id: str,
        settlements: Sequence[tuple[OpenChange, Settlement]],
        started_at: datetime,
        now: datetime,
    ) -> None:
        """Write answers and what they mean for `delivered`, together."""
        with self._transaction():
            self._hold_lease(now)
            began, ended = stamp(started_at), stamp(now)
            for change, settlement in settlements:
                self._settle_one(run_id, batch_id, change, settlement, began, ended)

    def _settle_one(
        self,
        run_id: str,
        batch_id: str,
        open_change: OpenChange,
        settlement: Settlement,
        started_at: str,
        now: str,
    ) -> None:
        outcome, change = settlement.outcome, open_change.change
        is_open = settlement.state == "planned"
        known = [change.contact_point, change.dest_key, *change.payload.values()]
        counts_against_row = outcome.scope == "row" and outcome.answer in (
            Answer.REJECTED,
            Answer.RETRY,
        )
        self._connection.execute(
            """
            update outbox set state = ?, reason_code = ?, settled_at = ?, dest_id = ?,
                status_code = ?, error_code = ?, error_text_scrubbed = ?,
                runs_tried = runs_tried + ?,
                state_before = case when ? then 'UNKNOWN' else state_before end,
                content_encrypted = case when ? then content_encrypted end
            where change_id = ? and state = 'inflight'
            """,
            [
                settlement.state,
                settlement.reason_code,
                None if is_open else now,
                outcome.dest_id,
                outcome.status,
                scrub(outcome.code, known),
                scrub(outcome.text, known),
                1 if counts_against_row and not is_open else 0,
                # A later refusal of a repeat says nothing about the first attempt.
                outcome.answer is Answer.UNKNOWN,
                is_open,
                change.change_id,
            ],
        )
        self._connection.execute(
            """
            insert into attempts (change_id, run_id, batch_id, started_at, ended_at, outcome,
                status_code, error_code, retry_after_s)
            values (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                change.change_id,
                run_id,
                batch_id,
                started_at,
                now,
                str(outcome.answer),
                outcome.status,
                scrub(outcome.code, known),
                outcome.retry_after,
            ],
        )
        if outcome.answer is Answer.ACKED:
            self._mark_acked(change.change_id, change.operation, outcome.dest_id, now)
        elif outcome.answer is not Answer.UNKNOWN:
            self._mark_as_before(change.change_id, now)

    def _mark_acked(self, change_id: str, operation: str, dest_id: str | None, now: str) -> None:
        is_gone = operation == "delete"
        self._connection.execute(
            """
            update delivered set state = ?, dest_id = ?, changed_at = ?,
                first_acked_at = coalesce(delivered.first_acked_at, ?), last_acked_at = ?,
                fp = case when ? then null else change.fp_after end,
                field_fps = case when ? then null else change.field_fps end,
                dest_key_encrypted = case when ? then null else dest_key_encrypted end
            from (select sync, dest_key_hmac, fp_after, field_fps from outbox
                where change_id = ?) as change
            where delivered.sync = change.sync
                and delivered.dest_key_hmac = change.dest_key_hmac
            """,
            [
                "absent" if is_gone else "present",
                dest_id,
                now,
                now,
                now,
                is_gone,
                is_gone,
                is_gone,
                change_id,
            ],
        )

    def _mark_as_before(self, change_id: str, now: str) -> None:
        """The tool says it did not take this change: what was believed before holds again."""
        self._connection.execute(
            """
            update delivered set state = coalesce(change.state_before, 'absent'), changed_at = ?
            from (select sync, dest_key_hmac, state_before from outbox
                where change_id = ?) as change
            where delivered.sync = change.sync
                and delivered.dest_key_hmac = change.dest_key_hmac
            """,
            [now, change_id],
        )

    def end_unsent(
        self, change_ids: Sequence[str], state: str, reason_code: str, now: datetime
    ) -> None:
        """Changes that end without being sent in this run."""
        with self._transaction():
            self._hold_lease(now)
            self._connection.executemany(
                """
                update outbox set state = ?, reason_code = ?, settled_at = ?,
                    content_encrypted = null
                where change_id = ? and state = 'planned'
                """,
                [(state, reason_code, stamp(now), change_id) for change_id in change_ids],
            )

    def finish_run(
        self, run_id: str, status: str, reason_code: str | None, reason: str | None, now: datetime
    ) -> RunRecord:
        """Close a run and count where its changes ended."""
        with self._transaction():
            self._hold_lease(now)
            self._close_run(run_id, status, reason_code, reason, now)
        return self.run(run_id)

    def record_blocked(
        self,
        run_id: str,
        totals: Mapping[str, int | str | None],
        standing: Mapping[str, int],
        now: datetime,
    ) -> None:
        """The numbers of a run that was stopped before it wrote a single change."""
        with self._transaction():
            self._hold_lease(now)
            names = ", ".join(f"{name} = ?" for name in totals)
            self._connection.execute(
                f"update runs set {names}, standing = ? where run_id = ?",
                [*totals.values(), json.dumps(dict(standing)), run_id],
            )

    def _close_run(
        self, run_id: str, status: str, reason_code: str | None, reason: str | None, now: datetime
    ) -> None:
        run = self._connection.execute(
            "select standing from runs where run_id = ?", [run_id]
        ).fetchone()
        counts: dict[str, int] = dict.fromkeys(RUN_COUNTS, 0)
        for state, count in json.loads(run["standing"]).items():
            counts[state] += count
        for row in self._connection.execute(
            "select state, count(*) as rows from outbox where run_id = ? group by state", [run_id]
        ):
            # A state outside the counts (planned, inflight) must fail here, not vanish.
            counts[row["state"]] += row["rows"]
        names = ", ".join(f"n_{state} = ?" for state in counts)
        self._connection.execute(
            f"update runs set status = ?, reason_code = ?, reason = ?, finished_at = ?, {names} "
            "where run_id = ?",
            [status, reason_code, reason, stamp(now), *counts.values(), run_id],
        )

    # Reading back

    def run(self, run_id: str) -> RunRecord:
        row = self._connection.execute("select * from runs where run_id = ?", [run_id]).fetchone()
        return _run_record(row)

    def last_run(self, sync: str) -> RunRecord | None:
        row = self._connection.execute(
            "select * from runs where sync = ? order by started_at desc, run_id desc limit 1",
            [sync],
        ).fetchone()
        return None if row is None else _run_record(row)

    def states_of_run(self, run_id: str) -> dict[str, int]:
        """How many changes of a run are in each state now."""
        return {
            row["state"]: row["rows"]
            for row in self._connection.execute(
                "select state, count(*) as rows from outbox where run_id = ? group by state",
                [run_id],
            )
        }

    def count_present(self, sync: str) -> int:
        """How many people the destination holds, as it acknowledged."""
        row = self._connection.execute(
            "select count(*) from delivered where sync = ? and state = 'present'", [sync]
        ).fetchone()
        count: int = row[0]
        return count

    def unknown_customers(self, sync: str) -> list[str]:
        """People who may have been reached: someone must look, nothing is resent by itself."""
        return [
            row["customer_id"]
            for row in self._connection.execute(
                "select customer_id from delivered where sync = ? and state = 'UNKNOWN' "
                "order by customer_id",
                [sync],
            )
        ]

    def decide_unknown(
        self, sync: str, was_delivered: bool, customer_ids: Sequence[str] | None, now: datetime
    ) -> int:
        """A person's answer for UNKNOWN messages: count as sent, or allow one more."""
        chosen = self.unknown_customers(sync) if customer_ids is None else list(customer_ids)
        decided = 0
        with self._transaction():
            for customer_id in chosen:
                updated = self._connection.execute(
                    """
                    update delivered set state = ?, changed_at = ?
                    where sync = ? and customer_id = ? and state = 'UNKNOWN'
                    """,
                    ["present" if was_delivered else "absent", stamp(now), sync, customer_id],
                )
                decided += updated.rowcount
                self._connection.execute(
                    f"update outbox set closed_at = ? where state = 'unknown' and change_number = "
                    f"(select change_number from ({_LATEST}) where customer_id = ?)",
                    [stamp(now), sync, customer_id],
                )
        return decided

    def table(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of a reading query, for export and status."""
        for row in self._connection.execute(query, parameters):
            yield tuple(row)

    def _rows(self, change_ids: Sequence[str], columns: str) -> Iterator[sqlite3.Row]:
        # SQLite takes at most 32766 parameters; a whole file may hold more changes than that.
        for start in range(0, len(change_ids), 10_000):
            part = change_ids[start : start + 10_000]
            marks = ", ".join("?" * len(part))
            yield from self._connection.execute(
                f"select {columns} from outbox where change_id in ({marks})", part
            )

    def _check_fingerprints(self, may_write: bool) -> None:
        known = {row["key"]: row["value"] for row in self._connection.execute("select * from meta")}
        for name, fingerprint in self.keys.fingerprints.items():
            if name not in known and may_write:
                self._connection.execute("insert into meta values (?, ?)", [name, fingerprint])
            elif known.get(name) != fingerprint:
                raise LedgerError(
                    f"{name} is not the one this ledger was made with, so nobody in it could be "
                    "recognised and people would be messaged again. Restore the former value; "
                    "nothing was sent."
                )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("begin immediate")
            yield
            self._connection.execute("commit")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            if isinstance(error, sqlite3.OperationalError):
                raise _cannot_write(error) from None
            raise


# The newest change of each customer of one sync.
_LATEST = """
    select outbox.* from outbox
    where sync = ? and change_number = (
        select max(newer.change_number) from outbox as newer
        where newer.sync = outbox.sync and newer.customer_id = outbox.customer_id
    )
"""


def process_start(pid: int) -> str | None:
    """When a process started, or None if there is none: a pid alone may have been reused."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def _run_record(row: sqlite3.Row) -> RunRecord:
    names = ("rows_in", "n_insert", "n_update", "n_delete", "n_unchanged", "n_calls")
    counts = {name.removeprefix("n_"): row[name] for name in names}
    counts |= {state: row[f"n_{state}"] for state in RUN_COUNTS}
    started_at = unstamp(row["started_at"])
    assert started_at is not None
    return RunRecord(
        row["run_id"],
        row["sync"],
        row["status"],
        row["reason_code"],
        row["reason"],
        started_at,
        unstamp(row["finished_at"]),
        counts,
    )


def _cannot_write(error: Exception) -> LedgerError:
    return LedgerError(
        f"The ledger cannot be written ({type(error).__name__}), and nothing leaves without it. "
        "Check that the folder `state` of the home is writable and its disk has room."
    )
