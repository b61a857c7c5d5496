"""A real SMTP server on the loopback for the demo home; what it accepts lands in a Maildir."""

import logging
from asyncio import Server
from pathlib import Path
from types import TracebackType

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox


class _AnyPort(Controller):
    """A controller that may be given port 0: it then learns its port before it greets itself."""

    def _trigger_server(self) -> None:
        if isinstance(self.server, Server):
            self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailServer:
    """Runs while the `with` block does, on a free port of 127.0.0.1.

    Tests hand in a handler of their own to refuse, greylist or hang up.
    """

    def __init__(self, maildir: Path, handler: object | None = None) -> None:
        self._maildir = maildir
        self._handler = handler
        self._controller: Controller | None = None

    def __enter__(self) -> "MailServer":
        # The library logs every recipient at INFO; no log here may name a person.
        logging.getLogger("mail.log").disabled = True
        self._maildir.parent.mkdir(parents=True, exist_ok=True)
        handler = self._handler or Mailbox(self._maildir)
        self._controller = _AnyPort(handler, hostname="127.0.0.1", port=0)
        self._controller.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        if self._controller is None:
            raise RuntimeError("The mail server is not running.")
        port: int = self._controller.port
        return port
