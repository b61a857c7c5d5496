"""One message to one recipient over SMTP, believing nothing but the server's own answers.

SMTP has no request key, so what a lost connection means depends on where it was lost: before
the message text began nothing was accepted and a retry is safe; after it, nobody can know, and
the row is UNKNOWN rather than sent twice.
"""

import re
import smtplib
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, formataddr
from pathlib import Path
from urllib.parse import quote

from orchestration.destinations.base import (
    Answer,
    BatchResult,
    Change,
    CheckResult,
    DestinationSpec,
    Invalid,
    Limits,
    Payload,
    Prepared,
    Row,
    RowOutcome,
    SendContext,
    Stopped,
    prepare_message,
    reach,
)
from orchestration.errors import CdpError

TEMPLATES = Path(__file__).parent / "templates"
FALLBACK_LANGUAGE = "en"
# One address and nothing that could make it two, or a header.
ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+@[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+")
PLACEHOLDER = re.compile(r"\{\{ *([a-z_][a-z0-9_]*) *(?:\| *([^{}|]*?) *)?\}\}")
ENHANCED_CODE = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})\b")
SERVICE_CLOSING = 421
AUTHENTICATION_CODES = (530, 534, 535, 538)


@dataclass(frozen=True)
class SmtpServer:
    """Where mail is handed in, and as whom."""

    host: str
    port: int
    sender: str
    sender_name: str | None = None
    unsubscribe: str | None = None
    starttls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0


@dataclass(frozen=True)
class Template:
    """A subject and a body in one language, with `{{field}}` or `{{field|otherwise}}`."""

    language: str
    subject: str
    body: str

    @property
    def required_fields(self) -> frozenset[str]:
        """Fields without an `otherwise`: a message with a hole in it is not sent."""
        matches = PLACEHOLDER.finditer(self.subject + self.body)
        return frozenset(match[1] for match in matches if match[2] is None)

    def render(self, payload: Payload) -> tuple[str, str]:
        """The subject and body with values put in, line breaks in values flattened."""

        def value(match: re.Match[str]) -> str:
            return " ".join((payload.get(match[1]) or match[2] or "").split())

        return PLACEHOLDER.sub(value, self.subject), PLACEHOLDER.sub(value, self.body)


def load_templates(name: str, folder: Path = TEMPLATES) -> dict[str, Template]:
    """The templates `<name>.<language>.txt`; the first line is the subject."""
    templates = {}
    for path in sorted(folder.glob(f"{name}.*.txt")):
        language = path.name.removeprefix(f"{name}.").removesuffix(".txt")
        subject, _, body = path.read_text(encoding="utf-8").partition("\n")
        templates[language] = Template(language, subject.strip(), body.strip() + "\n")
    if FALLBACK_LANGUAGE not in templates:
        raise CdpError(
            f"There is no message template {name}.{FALLBACK_LANGUAGE}.txt. Add it to the "
            "templates folder of the destinations, with the subject on the first line."
        )
    return templates


class SmtpDestination:
    """Sends a template to each person, once."""

    def __init__(
        self, server: SmtpServer, template: str, templates_folder: Path = TEMPLATES
    ) -> None:
        self._server = server
        self._templates = load_templates(template, templates_folder)
        self._session: smtplib.SMTP | None = None

    @property
    def spec(self) -> DestinationSpec:
        # One message per claim: a crash then leaves one person unknown, not a hundred.
        return DestinationSpec(
            kind="message",
            limits=Limits(max_batch=1),
            idempotency="none",
            delete="none",
            batch="per_row",
            erasure="unsupported",
        )

    def check(self) -> CheckResult:
        """Greet the server and log in; no message."""
        try:
            session = self._connected()
            code, _ = session.noop()
        except Stopped as stopped:
            return CheckResult(False, str(stopped))
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return CheckResult(False, f"The mail server does not answer ({_kind(error)}).")
        return CheckResult(code == 250, f"The mail server answers ({code}).")

    def prepare(self, row: Row) -> Prepared | Invalid:
        """Check the address and that no placeholder stays empty."""
        address = (row.contact_point or "").strip()
        if not address:
            return Invalid("contact_point_missing")
        if len(address) > 254 or not ADDRESS.fullmatch(address):
            return Invalid("contact_point_not_an_address")
        if not _to_wire(address):
            return Invalid("contact_point_not_deliverable_by_smtp")
        template = self._template_for(row.payload)
        if any(not row.payload.get(name) for name in template.required_fields):
            return Invalid("template_field_missing")
        return prepare_message(row)

    def send(self, batch: Sequence[Change], context: SendContext) -> BatchResult:
        return BatchResult(tuple(self._send_one(change) for change in batch))

    def erase(self, keys: Iterable[str]) -> BatchResult:
        """A message that was read cannot be taken back: reported as refused, not as done."""
        return BatchResult(
            tuple(
                RowOutcome(str(position), Answer.REJECTED, code="erasure_unsupported")
                for position, _ in enumerate(keys)
            )
        )

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                session.quit()
            except (smtplib.SMTPException, OSError):
                session.close()

    def message(self, change: Change) -> EmailMessage:
        """The message of one change; the same change always has the same Message-ID."""
        template = self._template_for(change.payload)
        subject, body = template.render(change.payload)
        sender = self._server.sender
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = formataddr((self._server.sender_name or "", sender))
        message["To"] = _to_wire((change.contact_point or "").strip())
        message["Subject"] = subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{change.idem_key[:40]}@{sender.rpartition('@')[2]}>"
        message["Content-Language"] = template.language
        unsubscribe = self._server.unsubscribe or sender
        reference = quote(f"unsubscribe {change.idem_key[:16]}")
        message["List-Unsubscribe"] = f"<mailto:{unsubscribe}?subject={reference}>"
        message.set_content(body)
        return message

    def _template_for(self, payload: Payload) -> Template:
        wanted = (payload.get("language") or "").replace("_", "-").casefold()
        by_name = {name.casefold(): template for name, template in self._templates.items()}
        if wanted in by_name:
            return by_name[wanted]
        base = wanted.partition("-")[0]
        for name, template in by_name.items():
            if base and name.partition("-")[0] == base:
                return template
        return self._templates[FALLBACK_LANGUAGE]

    def _connected(self) -> smtplib.SMTP:
        """The open session, or a new one."""
        if self._session is not None:
            return self._session
        server = self._server
        session = smtplib.SMTP(timeout=server.timeout_seconds)
        try:
            code, _ = session.connect(server.host, server.port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, "")
            session.ehlo_or_helo_if_needed()
            if server.starttls:
                session.starttls(context=ssl.create_default_context())
                session.ehlo()
            if server.username is not None:
                session.login(server.username, server.password or "")
        except smtplib.SMTPAuthenticationError as error:
            session.close()
            if error.smtp_code // 100 == 4:
                raise
            # The server's words are left out: some repeat what they were given.
            raise Stopped(
                "authentication_failed",
                f"The mail server refuses the login ({error.smtp_code}). Check username and "
                "password of the connection.",
            ) from None
        except (smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError) as error:
            session.close()
            raise Stopped(
                "connection_not_secure",
                f"The mail server does not offer what the connection asks for ({_kind(error)}). "
                "Check starttls, username and the server's certificate.",
            ) from None
        except (smtplib.SMTPException, OSError):
            session.close()
            raise
        self._session = session
        return session

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _envelope(self, change: Change) -> RowOutcome | None:
        """Everything before the text; an outcome when the server already said no."""
        session = self._connected()
        code, reply = session.mail(self._server.sender)
        if code == 250:
            code, reply = session.rcpt(_to_wire((change.contact_point or "").strip()))
            if code in (250, 251):
                reach("before_data")
                code, reply = session.docmd("DATA")
                if code == 354:
                    return None
            elif code // 100 == 5 and code not in AUTHENTICATION_CODES:
                return self._refused(change, code, reply)
        elif code // 100 == 5:
            self._drop()
            raise Stopped(
                "sender_refused",
                f"The mail server refuses the sender of this connection ({code}). Check sender, "
                "username and password of the connection.",
            )
        if code in AUTHENTICATION_CODES:
            self._drop()
            raise Stopped("authentication_failed", f"The mail server asks for a login ({code}).")
        return self._refused(change, code, reply)

    def _send_one(self, change: Change) -> RowOutcome:
        was_open = self._session is not None
        content = re.sub(rb"(?m)^\.", b"..", self.message(change).as_bytes())
        try:
            refused = self._envelope(change)
        except smtplib.SMTPServerDisconnected as error:
            self._drop()
            if not was_open:
                return _not_accepted(change, error)
            # Servers close idle sessions; the next one is no second attempt at the message.
            try:
                refused = self._envelope(change)
            except (smtplib.SMTPException, OSError) as second_error:
                self._drop()
                return _not_accepted(change, second_error)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return _not_accepted(change, error)
        if refused is not None:
            return refused
        session = self._connected()
        try:
            session.send(content + (b"" if content.endswith(b"\r\n") else b"\r\n") + b".\r\n")
            code, reply = session.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return RowOutcome(
                change.change_id, Answer.UNKNOWN, code=f"connection_lost_after_data:{_kind(error)}"
            )
        if code == 250:
            reach("after_server_commit")
            return RowOutcome(
                change.change_id,
                Answer.ACKED,
                status=code,
                code=_enhanced(reply),
            )
        if code == -1 or code // 100 not in (4, 5):
            self._drop()
            return RowOutcome(change.change_id, Answer.UNKNOWN, status=code, code="no_clear_answer")
        return self._refused(change, code, reply)

    def _refused(self, change: Change, code: int, reply: bytes) -> RowOutcome:
        """A clear no to this message; the session is made ready for the next one."""
        is_for_good = code // 100 == 5
        if code in (SERVICE_CLOSING, -1):
            self._drop()
        elif self._session is not None:
            try:
                self._session.rset()
            except (smtplib.SMTPException, OSError):
                self._drop()
        return RowOutcome(
            change.change_id,
            Answer.REJECTED if is_for_good else Answer.RETRY,
            status=code,
            code=_enhanced(reply) or f"smtp_{code}",
            text=reply.decode("utf-8", errors="replace"),
            scope="destination" if code in (SERVICE_CLOSING, -1) else "row",
        )


def _to_wire(address: str) -> str:
    """The address in ASCII, its domain in IDNA; empty when it cannot be so written."""
    local, _, domain = address.rpartition("@")
    try:
        local.encode("ascii")
        wire = domain.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return f"{local}@{wire}" if wire else ""


def _enhanced(reply: bytes) -> str | None:
    match = ENHANCED_CODE.match(reply.decode("ascii", errors="replace"))
    return match[1] if match else None


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _not_accepted(change: Change, error: BaseException) -> RowOutcome:
    """The connection failed before the text began: nothing was accepted."""
    return RowOutcome(
        change.change_id,
        Answer.RETRY,
        status=getattr(error, "smtp_code", None),
        code=f"connection_failed:{_kind(error)}",
        scope="destination",
    )
