"""A ledger without people who were erased: what was sent stays countable, to whom does not.

Their hashes, encrypted addresses and open contents go; a change keeps its run, its state and the
customer_id, which leads to nobody any more, as proof that they were reached and taken out.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestration.errors import CdpError
from orchestration.syncs.ledger import Keys, stamp

_OPEN = "('planned', 'inflight', 'deferred')"


@dataclass(frozen=True)
class HeldKey:
    """A key that a destination holds, held or may hold of somebody."""

    sync: str
    dest_key: str


def held_keys(ledger: Path, keys: Keys, customer_ids: Iterable[str]) -> list[HeldKey]:
    """Every key that was ever sent for these customers, removed ones too."""
    if not _is_there(ledger):
        return []
    with _opened(ledger) as connection:
        rows = connection.execute(
            "select sync, customer_id, dest_key_encrypted from delivered order by sync"
        ).fetchall()
    wanted = set(customer_ids)
    return [
        HeldKey(sync, keys.decrypt(token))
        for sync, customer_id, token in rows
        if customer_id in wanted and token is not None
    ]


def syncs_that_sent(ledger: Path, customer_ids: Iterable[str]) -> set[str]:
    """Syncs by which these customers reached a destination, or may have, if only once."""
    if not _is_there(ledger):
        return set()
    with _opened(ledger) as connection:
        rows = connection.execute(
            "select distinct sync, customer_id from outbox "
            "where operation <> 'delete' and state in ('acked', 'unknown', 'inflight')"
        ).fetchall()
    wanted = set(customer_ids)
    return {sync for sync, customer_id in rows if customer_id in wanted}


def erase_people(ledger: Path, customer_ids: Iterable[str], now: datetime) -> tuple[int, int]:
    """Take people out of a ledger; gives how many deliveries went and changes were emptied."""
    if not _is_there(ledger):
        return 0, 0
    ids = [(customer_id,) for customer_id in sorted(set(customer_ids))]
    with _opened(ledger) as connection:
        connection.execute("pragma secure_delete = on")
        connection.execute("begin immediate")
        connection.execute("create temp table erased (customer_id text primary key)")
        connection.executemany("insert into erased values (?)", ids)
        of_erased = "customer_id in (select customer_id from erased)"
        deliveries = connection.execute(f"delete from delivered where {of_erased}").rowcount
        changes = connection.execute(
            f"""
            update outbox set
                dest_key_hmac = null, person_hmac = null, content_encrypted = null,
                fp_before = null, fp_after = null, field_fps = null, idem_key = null,
                error_text_scrubbed = null, dest_id = null,
                closed_at = coalesce(closed_at, ?),
                settled_at = coalesce(settled_at, ?),
                reason_code = case when state in {_OPEN} then 'erased' else reason_code end,
                state = case when state in {_OPEN} then 'superseded' else state end
            where {of_erased} and (
                dest_key_hmac is not null or person_hmac is not null
                or content_encrypted is not null or fp_after is not null
                or idem_key is not null or closed_at is null
            )
            """,
            [stamp(now), stamp(now)],
        ).rowcount
        connection.execute("commit")
        # What was there is in free pages and in the log until both are written anew.
        connection.execute("vacuum")
        connection.execute("pragma wal_checkpoint(truncate)")
    return deliveries, changes


def _is_there(ledger: Path) -> bool:
    return ledger.exists() and ledger.stat().st_size > 0


@contextmanager
def _opened(ledger: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(ledger, timeout=30, isolation_level=None)
    try:
        yield connection
    except sqlite3.Error as error:
        raise CdpError(f"{ledger.name} cannot be used as a ledger: {error}.") from error
    finally:
        connection.close()
