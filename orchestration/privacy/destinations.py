"""Destinations without a person: mirrors get the removal and forget older versions of it.

Mail that left cannot be called back. The mail that the demo's embedded server keeps is a folder
of this home, and goes.
"""

from pathlib import Path

from orchestration.destinations.base import Answer
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.privacy.person import Person
from orchestration.privacy.rows import Needles
from orchestration.privacy.texts import mail_text
from orchestration.privacy.warehouse import Counts
from orchestration.syncs.connections import (
    FileConnection,
    SmtpConnection,
    build_destination,
    load_connections,
)
from orchestration.syncs.ledger import Keys
from orchestration.syncs.ledger_erase import held_keys, syncs_that_sent
from orchestration.syncs.settings import SyncSettings, load_syncs


def clean_destinations(home: Home, person: Person, needles: Needles) -> list[Counts]:
    """Take the person out of each destination that holds or held them, by the ledger's keys."""
    connections = load_connections(home)
    held: dict[str, list[str]] = {}
    if home.ledger.exists():
        for each in held_keys(home.ledger, Keys.of(home), person.customer_ids):
            held.setdefault(each.sync, []).append(each.dest_key)
    sent = syncs_that_sent(home.ledger, person.customer_ids)
    found = [
        _clean_sync(home, sync, connections.get(sync.meta.destination), held.get(sync.name, []))
        for sync in load_syncs(home.manifest)
        if sync.name in sent | held.keys()
    ]
    for name, connection in connections.items():
        if isinstance(connection, SmtpConnection) and connection.maildir:
            found.append(_clean_maildir(name, home.root / connection.maildir, needles))
    return found


def _clean_sync(
    home: Home,
    sync: SyncSettings,
    connection: SmtpConnection | FileConnection | None,
    keys: list[str],
) -> Counts:
    """A mirror from which the sync has just removed the person still keeps older versions."""
    counts = Counts(f"destination/{sync.name}", found=max(1, len(keys)))
    if connection is None:
        counts.left = counts.found
        counts.note = f"there is no connection {sync.meta.destination}: nothing could be removed"
        return counts
    if sync.meta.mode == "message":
        counts.note = "messages that left stay with whom they were sent to"
        return counts
    destination = build_destination(home, sync, connection)
    if destination.spec.erasure == "unsupported":
        counts.left = counts.found
        counts.note = "the tool cannot erase: remove the person there"
        return counts
    try:
        outcomes = destination.erase(keys).outcomes
    except OSError as error:
        raise CdpError(
            f"{sync.name}: the destination could not be written ({error.strerror}); run the "
            "erasure again when it can."
        ) from error
    finally:
        destination.close()
    failed = sum(1 for outcome in outcomes if outcome.answer is not Answer.ACKED)
    counts.left, counts.removed = failed, counts.found - failed
    return counts


def _clean_maildir(name: str, folder: Path, needles: Needles) -> Counts:
    counts = Counts(f"destination/{name} (mail kept here)")
    if not folder.exists():
        return counts
    for path in sorted(folder.rglob("*")):
        if path.is_file() and needles.found_in(mail_text(path)):
            path.unlink()
            counts.found += 1
            counts.removed += 1
    return counts
