"""A small published file, real mail servers and a runner that can be killed."""

import json
import os
import secrets
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from orchestration.demo.mail_server import MailServer
from orchestration.home import Home
from orchestration.syncs.connections import FileConnection, SmtpConnection
from orchestration.syncs.engine import Surroundings, SyncResult, run_sync
from orchestration.syncs.settings import SyncSettings, read_sync

PROJECT = Path(__file__).resolve().parents[2]
MESSAGE = {
    "version": 1,
    "destination": "email",
    "object": "welcome",
    "mode": "message",
    "fields": {"first_name": "first_name", "language": "language"},
    "consent": {"channel": "email", "purpose": "marketing", "max_age_hours": 24},
}
MIRROR = {
    "version": 1,
    "destination": "csv_drop",
    "object": "vip",
    "mode": "mirror",
    "fields": {"email": "contact_point", "first_name": "first_name"},
    "consent": {"channel": "email", "purpose": "marketing", "max_age_hours": 24},
    "on_exit": "remove",
}


@dataclass(frozen=True)
class Person:
    """One member of a test audience."""

    customer_id: str
    email: str | None = None
    first_name: str | None = "Linh"
    language: str | None = "vi"
    is_permitted: bool | None = True
    # What profile.contact_permissions says; None: the same as the payload row.
    permission: bool | None = None

    @property
    def address(self) -> str:
        return self.email or f"{self.customer_id}@customers.example"

    def changed(self, **values: Any) -> "Person":
        return replace(self, **values)


def people(count: int, start: int = 1) -> list[Person]:
    return [Person(f"c{number:03d}") for number in range(start, start + count)]


def publish(
    home: Home,
    audience: Sequence[Person],
    table: str = "sync_email__welcome",
    age: timedelta = timedelta(minutes=5),
) -> None:
    """Swap in a private file with this audience, as a publish step does."""
    home.published.mkdir(parents=True, exist_ok=True)
    part = home.published / f"private.{secrets.token_hex(4)}.part"
    connection = duckdb.connect(str(part))
    try:
        connection.execute("create schema activation; create schema profile")
        connection.execute("create schema publication")
        connection.execute(
            "create table publication.info (publication_id varchar, published_at timestamp, "
            "as_of_date date, code_hash varchar)"
        )
        published_at = (datetime.now(UTC) - age).replace(tzinfo=None)
        connection.execute(
            "insert into publication.info values (?, ?, date '2026-11-01', 'abc')",
            [secrets.token_hex(4), published_at],
        )
        connection.execute(
            f"create table activation.{table} (customer_id varchar, is_permitted boolean, "
            "withheld_reason varchar, contact_point_type varchar, contact_point varchar, "
            "first_name varchar, language varchar)"
        )
        connection.execute(
            "create table profile.contact_permissions (customer_id varchar, "
            "contact_point_type varchar, contact_point varchar, channel varchar, "
            "purpose varchar, is_permitted boolean, reason varchar)"
        )
        payload = [
            (
                person.customer_id,
                person.is_permitted,
                None if person.is_permitted else "unsubscribed",
                "email",
                person.address if person.is_permitted else None,
                person.first_name,
                person.language,
            )
            for person in audience
        ]
        permissions = [
            (
                person.customer_id,
                "email",
                person.address,
                "email",
                "marketing",
                bool(person.is_permitted if person.permission is None else person.permission),
                "test",
            )
            for person in audience
        ]
        if audience:
            connection.executemany(
                f"insert into activation.{table} values (?, ?, ?, ?, ?, ?, ?)", payload
            )
            connection.executemany(
                "insert into profile.contact_permissions values (?, ?, ?, ?, ?, ?, ?)",
                permissions,
            )
    finally:
        connection.close()
    part.replace(home.private_file)


def message_sync(**changes: Any) -> SyncSettings:
    return read_sync("sync_email__welcome", "Welcome.", {**MESSAGE, **changes})


def mirror_sync(**changes: Any) -> SyncSettings:
    return read_sync("sync_csv_drop__vip", "Best customers.", {**MIRROR, **changes})


@pytest.fixture(name="home")
def sync_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with its own keys; none come from the environment."""
    for name in ("CDP_ID_PEPPER", "CDP_LEDGER_KEY", "CDP_TEST_KILL_AT"):
        monkeypatch.delenv(name, raising=False)
    made = Home(tmp_path / "home").ensure()
    make_keys(made)
    return made


def make_keys(home: Home) -> None:
    key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    home.secrets_file.write_text(
        f"CDP_ID_PEPPER={secrets.token_urlsafe(32)}\nCDP_LEDGER_KEY={key}\n"
    )
    home.secrets_file.chmod(0o600)


@dataclass
class Post:
    """A mail server's memory and its moods, per address."""

    delivered: list[tuple[str, bytes]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    refuse_sender: str | None = None
    # Addresses for which the connection is dropped, and when.
    drop_before: set[str] = field(default_factory=set)
    drop_after: set[str] = field(default_factory=set)
    connections: int = 0

    @property
    def recipients(self) -> Counter[str]:
        return Counter(address for address, _ in self.delivered)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, answers: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return answers

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse_sender:
            return self.refuse_sender
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        if address in self.drop_before:
            assert server.transport is not None
            server.transport.abort()
            return "421 gone"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        address = envelope.rcpt_tos[0]
        assert isinstance(envelope.content, bytes)
        self.delivered.append((address, envelope.content))
        if address in self.drop_after:
            assert server.transport is not None
            server.transport.abort()
        return "250 2.0.0 accepted"


@contextmanager
def post_office(home: Home, post: Post | None = None) -> Iterator[tuple[Post, SmtpConnection]]:
    """A real SMTP server on the loopback, and a connection to it."""
    post = post or Post()
    with MailServer(home.outbox / "maildir", handler=post) as server:
        yield (
            post,
            SmtpConnection(
                type="smtp",
                host=server.host,
                port=server.port,
                sender="shop@shop.example",
                timeout_seconds=5,
            ),
        )


def drop_connection() -> FileConnection:
    return FileConnection(type="file", folder="outbox/drop")


def quick(later: timedelta = timedelta(0), slept: list[float] | None = None) -> Surroundings:
    """No waiting, and a clock that may be ahead."""
    naps = slept if slept is not None else []
    return Surroundings(
        clock=lambda: datetime.now(UTC) + later, sleep=naps.append, chance=lambda: 1.0
    )


def run(home: Home, sync: SyncSettings, connection: Any, **options: Any) -> SyncResult:
    """A confirmed run that does not wait; checks that every planned change has an end."""
    options.setdefault("surroundings", quick())
    options.setdefault("confirm_first_run", True)
    result = run_sync(home, sync, connection, **options)
    assert result.planned == result.ended
    return result


RUNNER = """
import json, sys
from pathlib import Path
from orchestration.home import Home
from orchestration.syncs.connections import load_connections
from orchestration.syncs.engine import run_sync
from orchestration.syncs.settings import read_sync

home = Home(Path(sys.argv[1]))
sync = read_sync(sys.argv[2], "", json.loads(sys.argv[3]))
connection = load_connections(home)[sync.meta.destination]
result = run_sync(home, sync, connection, confirm_first_run=True)
print(json.dumps({"status": result.status, **result.counts}))
"""


def run_in_process(
    home: Home, sync: SyncSettings, kill_at: str | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """The same run in a process of its own, which may be told where to die."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CDP_")}
    environment["PYTHONPATH"] = str(PROJECT)
    if kill_at:
        environment["CDP_TEST_KILL_AT"] = kill_at
    meta = json.dumps(sync.meta.model_dump(exclude_none=True))
    return subprocess.run(
        [sys.executable, "-c", RUNNER, str(home.root), sync.name, meta],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        user=user,
    )


def write_connections(home: Home, smtp: SmtpConnection | None = None) -> None:
    """The connections a process of its own reads."""
    content: dict[str, Any] = {"csv_drop": {"type": "file", "folder": "outbox/drop"}}
    if smtp is not None:
        content["email"] = smtp.model_dump(exclude_none=True, exclude_defaults=True) | {
            "type": "smtp"
        }
    home.connections.write_text(json.dumps(content))


def read_drop(home: Home) -> tuple[dict[str, Any], list[dict[str, str]], list[dict[str, str]]]:
    """The manifest, members and changes of the file drop, with its checksums verified."""
    import csv
    import hashlib

    folder = home.outbox / "drop" / "vip"
    manifest = json.loads((folder / "manifest.json").read_text())
    tables = []
    for part in ("members", "changes"):
        content = (folder / manifest[part]["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == manifest[part]["sha256"]
        rows = list(csv.DictReader(content.decode().splitlines()))
        assert len(rows) == manifest[part]["rows"]
        tables.append(rows)
    return manifest, tables[0], tables[1]
