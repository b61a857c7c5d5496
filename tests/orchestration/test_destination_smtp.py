"""What the SMTP adapter makes of a server's answers, against real servers on the loopback."""

import mailbox
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from sync_fixtures import (
    Post,
    message_sync,
    people,
    post_office,
    publish,
    run,
    sync_home,  # noqa: F401
)

from orchestration.destinations.base import Answer, Change, RowOutcome, SendContext, Stopped
from orchestration.destinations.smtp import SmtpDestination, SmtpServer, load_templates
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.syncs.connections import SmtpConnection

CONTEXT = SendContext("run", "sync_email__welcome", "customer_id", ("first_name",))


def change(name: str = "c001") -> Change:
    address = f"{name}@customers.example"
    return Change(name, "insert", "ab" * 32, f"{address}\n{name}", address, {"first_name": "A"})


def send(connection: SmtpConnection, *changes: Change) -> list[RowOutcome]:
    destination = SmtpDestination(
        SmtpServer(connection.host or "", connection.port or 0, connection.sender), "welcome"
    )
    outcomes = list(destination.send(changes or [change()], CONTEXT).outcomes)
    destination.close()
    return outcomes


@contextmanager
def scripted_server(*script: bytes) -> Iterator[SmtpConnection]:
    """A server that says these lines, one per command, and then hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as lines:
                peer.sendall(script[0])
                for answer in script[1:]:
                    line = lines.readline()
                    if answer.startswith(b"<text>"):
                        while line not in (b".\r\n", b""):
                            line = lines.readline()
                        answer = answer.removeprefix(b"<text>")
                    if answer:
                        peer.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield SmtpConnection(
        type="smtp",
        host="127.0.0.1",
        port=listener.getsockname()[1],
        sender="shop@shop.example",
        timeout_seconds=5,
    )
    thread.join(5)


UP_TO_DATA = (b"220 hi\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n")


@pytest.mark.parametrize(
    ("script", "answer", "scope"),
    [
        ((b"554 no service\r\n",), Answer.RETRY, "destination"),
        ((b"220 hi\r\n",), Answer.RETRY, "destination"),
        ((b"220 hi\r\n", b"250 hello\r\n", b"451 later\r\n"), Answer.RETRY, "row"),
        (UP_TO_DATA[:3], Answer.RETRY, "destination"),
        ((*UP_TO_DATA[:3], b"452 4.2.2 mailbox full\r\n"), Answer.RETRY, "row"),
        ((*UP_TO_DATA[:3], b"421 closing\r\n"), Answer.RETRY, "destination"),
        ((*UP_TO_DATA[:3], b"550 5.1.1 no such user\r\n"), Answer.REJECTED, "row"),
        (UP_TO_DATA, Answer.RETRY, "destination"),
        ((*UP_TO_DATA, b"554 5.7.1 not now\r\n"), Answer.REJECTED, "row"),
        ((*UP_TO_DATA, b"354 go\r\n"), Answer.UNKNOWN, "row"),
        ((*UP_TO_DATA, b"354 go\r\n", b"<text>"), Answer.UNKNOWN, "row"),
        ((*UP_TO_DATA, b"354 go\r\n", b"<text>nonsense\r\n"), Answer.UNKNOWN, "row"),
        ((*UP_TO_DATA, b"354 go\r\n", b"<text>451 4.3.0 later\r\n"), Answer.RETRY, "row"),
        ((*UP_TO_DATA, b"354 go\r\n", b"<text>550 5.7.1 spam\r\n"), Answer.REJECTED, "row"),
        ((*UP_TO_DATA, b"354 go\r\n", b"<text>250 2.0.0 ok\r\n"), Answer.ACKED, "row"),
    ],
)
def test_each_answer_at_each_step(script: tuple[bytes, ...], answer: Answer, scope: str) -> None:
    with scripted_server(*script) as connection:
        outcomes = send(connection)
    assert [(outcome.answer, outcome.scope) for outcome in outcomes] == [(answer, scope)]


def test_one_session_serves_many_messages_and_refusals_between(home: Home) -> None:
    post = Post(refuse={"c002@customers.example": "550 5.1.1 no"})
    with post_office(home, post) as (_, connection):
        outcomes = send(connection, *(change(f"c{n:03d}") for n in range(1, 6)))
    assert [o.answer for o in outcomes].count(Answer.ACKED) == 4
    assert (outcomes[1].answer, outcomes[1].status, outcomes[1].code) == (
        Answer.REJECTED,
        550,
        "5.1.1",
    )
    assert post.connections == 1


def test_lines_that_begin_with_a_dot_arrive_whole(home: Home, tmp_path: Path) -> None:
    (tmp_path / "dots.en.txt").write_text("Dots\n.first\n..second\n.\nlast\n")
    with post_office(home) as (post, connection):
        destination = SmtpDestination(
            SmtpServer(connection.host or "", connection.port or 0, connection.sender),
            "dots",
            tmp_path,
        )
        destination.send([change()], CONTEXT)
        destination.close()
    assert post.delivered[0][1].endswith(b"\r\n\r\n.first\r\n..second\r\n.\r\nlast\r\n")


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_wrong_password_stops_without_repeating_it() -> None:
    def authenticate(*_: object) -> AuthResult:
        return AuthResult(success=False, handled=False)

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    controller = Controller(
        Post(),
        hostname="127.0.0.1",
        port=port,
        authenticator=authenticate,
        auth_require_tls=False,
        auth_required=True,
    )
    controller.start()
    try:
        server = SmtpServer(
            "127.0.0.1", port, "shop@shop.example", username="shop", password="hunter2-canary"
        )
        with pytest.raises(Stopped) as stopped:
            SmtpDestination(server, "welcome").send([change()], CONTEXT)
        assert stopped.value.code == "authentication_failed"
        assert "hunter2" not in f"{stopped.value!r}{stopped.value}{server!r}"
        without = SmtpServer("127.0.0.1", port, "shop@shop.example")
        with pytest.raises(Stopped):
            SmtpDestination(without, "welcome").send([change()], CONTEXT)
        assert not SmtpDestination(server, "welcome").check().is_ok
    finally:
        controller.stop()


def test_a_server_without_the_encryption_asked_for_gets_no_message(home: Home) -> None:
    with post_office(home) as (post, connection):
        server = SmtpServer(
            connection.host or "", connection.port or 0, "shop@shop.example", starttls=True
        )
        with pytest.raises(Stopped, match="does not offer"):
            SmtpDestination(server, "welcome").send([change()], CONTEXT)
    assert not post.delivered


def test_check_greets_and_sends_nothing(home: Home) -> None:
    with post_office(home) as (post, connection):
        server = SmtpServer(connection.host or "", connection.port or 0, connection.sender)
        destination = SmtpDestination(server, "welcome")
        assert destination.check().is_ok
        destination.close()
    assert not post.delivered
    assert not SmtpDestination(server, "welcome").check().is_ok


def test_the_embedded_server_keeps_a_maildir(home: Home) -> None:
    publish(home, people(3))
    connection = SmtpConnection(
        type="smtp", sender="shop@shop.example", embedded=True, maildir="outbox/maildir"
    )
    assert run(home, message_sync(), connection).counts["acked"] == 3
    assert run(home, message_sync(), connection).counts["unchanged"] == 3
    kept = mailbox.Maildir(home.outbox / "maildir", create=False)
    assert sorted(message["To"] for message in kept) == [p.address for p in people(3)]


def test_every_template_exists_in_every_language() -> None:
    for name in ("welcome", "win_back"):
        templates = load_templates(name)
        assert set(templates) == {"en", "vi", "zh-TW", "fa"}
        for template in templates.values():
            subject, body = template.render({})
            assert subject and body and "{{" not in subject + body
    with pytest.raises(CdpError, match=r"no_such\.en\.txt"):
        load_templates("no_such")


def test_a_message_with_a_hole_is_invalid(home: Home, tmp_path: Path) -> None:
    from orchestration.destinations.base import Invalid, Row

    (tmp_path / "coupon.en.txt").write_text("Your coupon\nUse {{ code }} today\n")
    destination = SmtpDestination(SmtpServer("h", 25, "s@s.example"), "coupon", tmp_path)
    whole = Row("c1", "c1", "email", "a@x.example", {"code": "ABC"})
    holed = Row("c1", "c1", "email", "a@x.example", {"code": None})
    assert not isinstance(destination.prepare(whole), Invalid)
    assert destination.prepare(holed) == Invalid("template_field_missing")
