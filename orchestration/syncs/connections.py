"""Where syncs may send to: `connections.yml` of the home, without a single secret in it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from orchestration.destinations.base import Destination
from orchestration.destinations.file_drop import FileDropDestination
from orchestration.destinations.smtp import SmtpDestination, SmtpServer
from orchestration.errors import CdpError, MissingSetting
from orchestration.home import Home, read_secret
from orchestration.syncs.settings import Strict, SyncSettings, explain

REFERENCE = re.compile(r"\$\{(env|file):([^{}]+)\}")


class BadConnection(CdpError):
    """A connection is wrong; the message names it and the key."""


class SmtpConnection(Strict):
    """A mail server, or `embedded` for one that lives as long as the run."""

    type: Literal["smtp"]
    sender: str = Field(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")
    sender_name: str | None = None
    unsubscribe: str | None = Field(default=None, pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    starttls: bool = False
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    timeout_seconds: float = Field(default=30, gt=0)
    embedded: bool = False
    maildir: str | None = None

    @field_validator("password")
    @classmethod
    def _is_reference(cls, value: str | None) -> str | None:
        if value is not None and not REFERENCE.fullmatch(value):
            raise ValueError("write a reference, ${env:NAME} or ${file:path}, not the secret")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> "SmtpConnection":
        if self.embedded:
            if self.maildir is None:
                raise ValueError("embedded: say in maildir where its mail is kept")
            if self.host or self.port or self.username or self.password or self.starttls:
                raise ValueError("embedded: takes no host, port, username, password, starttls")
        elif self.host is None or self.port is None or self.maildir is not None:
            raise ValueError("give host and port (and maildir only with embedded: true)")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        return self


class FileConnection(Strict):
    """A folder that receives one subfolder per object."""

    type: Literal["file"]
    folder: str = Field(min_length=1)


Connection = Annotated[SmtpConnection | FileConnection, Field(discriminator="type")]
_ADAPTER: TypeAdapter[SmtpConnection | FileConnection] = TypeAdapter(Connection)
MODE_OF_TYPE = {"smtp": "message", "file": "mirror"}


def load_connections(home: Home) -> dict[str, SmtpConnection | FileConnection]:
    """The home's connections by name; no file means none."""
    if not home.connections.exists():
        return {}
    name_of_file = home.connections.name
    try:
        content = yaml.safe_load(home.connections.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        # The parser's message would quote the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise BadConnection(f"{name_of_file}{line}: this is not valid YAML.") from None
    if not isinstance(content, Mapping):
        raise BadConnection(f"{name_of_file}: write one connection per key.")
    return {str(name): _read(f"{name_of_file}: {name}", value) for name, value in content.items()}


def _read(where: str, value: Any) -> SmtpConnection | FileConnection:
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        raise BadConnection(explain(error, where)) from None


def resolve_secret(home: Home, reference: str) -> str:
    """The secret a reference points at."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise BadConnection("A secret must be a reference, ${env:NAME} or ${file:path}.")
    if match[1] == "env":
        return read_secret(home, match[2])
    path = home.root / match[2]
    if not path.is_file():
        raise MissingSetting(f"The secret file {match[2]} does not exist.")
    return path.read_text(encoding="utf-8").strip()


def build_destination(
    home: Home,
    sync: SyncSettings,
    connection: SmtpConnection | FileConnection,
    server: tuple[str, int] | None = None,
) -> Destination:
    """The destination of a sync, not yet connected to anything."""
    mode = MODE_OF_TYPE[connection.type]
    if sync.meta.mode != mode:
        raise BadConnection(
            f"Model {sync.name}: meta.sync.mode is {sync.meta.mode}, but the connection "
            f"{sync.meta.destination} is of type {connection.type}, which takes {mode}."
        )
    if isinstance(connection, FileConnection):
        if not sync.removes_leavers:
            raise BadConnection(
                f"Model {sync.name}: meta.sync.on_exit: a file holds the whole audience, so who "
                "leaves it is removed; write remove."
            )
        return FileDropDestination(home.root / connection.folder, sync.meta.object)
    host, port = server or (connection.host or "127.0.0.1", connection.port or 25)
    # An unreadable secret is found when sending, so a plan can be made without it.
    password = None
    if connection.password is not None and server is not None:
        password = resolve_secret(home, connection.password)
    return SmtpDestination(
        SmtpServer(
            host=host,
            port=port,
            sender=connection.sender,
            sender_name=connection.sender_name,
            unsubscribe=connection.unsubscribe,
            starttls=connection.starttls,
            username=connection.username,
            password=password,
            timeout_seconds=connection.timeout_seconds,
        ),
        sync.meta.object,
    )


@contextmanager
def open_destination(
    home: Home, sync: SyncSettings, connection: SmtpConnection | FileConnection
) -> Iterator[Destination]:
    """The destination for the length of a run, with its embedded server when it has one."""
    if isinstance(connection, SmtpConnection) and connection.embedded:
        from orchestration.demo.mail_server import MailServer

        with MailServer(home.root / (connection.maildir or "outbox/maildir")) as mail_server:
            destination = build_destination(
                home, sync, connection, (mail_server.host, mail_server.port)
            )
            try:
                yield destination
            finally:
                destination.close()
        return
    server = None
    if isinstance(connection, SmtpConnection):
        server = (connection.host or "", connection.port or 0)
    destination = build_destination(home, sync, connection, server)
    try:
        yield destination
    finally:
        destination.close()


def connection_paths(home: Home, connection: SmtpConnection | FileConnection) -> list[Path]:
    """Folders of the home in which this connection leaves personal data."""
    if isinstance(connection, FileConnection):
        return [home.root / connection.folder]
    return [home.root / connection.maildir] if connection.maildir else []
