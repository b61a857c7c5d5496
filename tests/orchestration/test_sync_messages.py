"""Messages: one per person, believed only on the server's word, never knowingly twice."""

from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header

import pytest
from sync_fixtures import (
    Person,
    Post,
    message_sync,
    people,
    post_office,
    publish,
    quick,
    run,
    sync_home,  # noqa: F401
)

from orchestration.home import Home
from orchestration.syncs.engine import decide_unknown
from orchestration.syncs.ledger import Ledger
from orchestration.syncs.plan import plan_sync

SYNC = message_sync()


def test_everyone_permitted_gets_one_message_and_a_second_run_sends_nothing(home: Home) -> None:
    audience = [*people(5), Person("c900", is_permitted=False), Person("c901", is_permitted=None)]
    publish(home, audience)
    with post_office(home) as (post, connection):
        plan = plan_sync(home, SYNC, connection, confirm_first_run=True)
        assert (plan.insert, plan.to_send, plan.withheld, plan.blocks) == (7, 5, 2, ())
        assert not home.ledger.exists(), "a plan writes nothing"
        first = run(home, SYNC, connection)
        assert first.status == "succeeded"
        assert (first.counts["acked"], first.counts["withheld"]) == (5, 2)
        assert post.recipients == {person.address: 1 for person in people(5)}

        second = run(home, SYNC, connection)
        assert second.status == "succeeded"
        assert (second.counts["unchanged"], second.counts["withheld"]) == (5, 2)
        assert second.counts["acked"] == second.counts["calls"] == 0
        assert len(post.delivered) == 5
    with Ledger.open(home) as ledger:
        rows = list(ledger.table("select count(*) from outbox where state = 'withheld'"))
    assert rows == [(2,)], "who stays withheld is not written again on every run"


def test_the_message_is_in_the_persons_language_with_stable_id_and_unsubscribe(home: Home) -> None:
    publish(
        home,
        [
            Person("c1", first_name="Nguyễn", language="vi"),
            Person("c2", first_name="美玲", language="zh_TW"),
            Person("c3", first_name="سارا", language="fa"),
            Person("c4", first_name=None, language="de"),
            Person("c5", first_name="Eve\r\nBcc: all@evil.example", language="en"),
        ],
    )
    with post_office(home) as (post, connection):
        run(home, SYNC, connection)
    messages = {address: message_from_bytes(content) for address, content in post.delivered}
    subjects = {
        address.partition("@")[0]: str(make_header(decode_header(message["Subject"])))
        for address, message in messages.items()
    }
    assert "Nguyễn" in subjects["c1"] and "美玲" in subjects["c2"] and "سارا" in subjects["c3"]
    assert subjects["c4"].startswith("Welcome, and thank you")
    for address, message in messages.items():
        assert message["To"] == address
        assert message["Bcc"] is None
        assert message["Message-ID"].endswith("@shop.example>")
        assert message["List-Unsubscribe"].strip().startswith("<mailto:shop@shop.example?subject=")
        assert message.get_content_charset() == "utf-8" or message["Content-Language"] == "en"
    assert len({message["Message-ID"] for message in messages.values()}) == 5


def test_a_greylisted_message_is_deferred_and_accepted_on_the_next_run(home: Home) -> None:
    publish(home, people(3))
    post = Post(refuse={"c002@customers.example": "451 4.7.1 try again later"})
    slept: list[float] = []
    with post_office(home, post) as (_, connection):
        first = run(home, SYNC, connection, surroundings=quick(slept=slept))
        assert (first.status, first.counts["acked"], first.counts["deferred"]) == ("partial", 2, 1)
        assert slept == [1.0, 2.0], "three tries with growing waits between them"
        post.refuse.clear()
        second = run(home, SYNC, connection)
    assert (second.status, second.counts["acked"], second.counts["unchanged"]) == (
        "succeeded",
        1,
        2,
    )
    assert set(post.recipients.values()) == {1}


def test_a_refused_address_is_rejected_and_left_alone_while_it_cools_down(home: Home) -> None:
    sync = message_sync(retry={"across_runs": 2, "cool_down_hours": 1})
    publish(home, people(3))
    post = Post(refuse={"c002@customers.example": "550 5.1.1 no such user"})
    with post_office(home, post) as (_, connection):
        first = run(home, sync, connection)
        assert (first.counts["acked"], first.counts["rejected"]) == (2, 1)
        assert (first.status, first.reason_code) == ("partial", "too_many_rejected")
        at_once = run(home, sync, connection)
        assert (at_once.counts["rejected"], at_once.counts["calls"]) == (1, 0)
        later = run(home, sync, connection, surroundings=quick(timedelta(hours=2)))
        assert (later.counts["dead"], later.counts["calls"]) == (1, 1)
        publish(home, people(3))
        much_later = run(home, sync, connection, surroundings=quick(timedelta(hours=9)))
        assert (much_later.counts["dead"], much_later.counts["calls"]) == (1, 0)
        # A corrected address is a new fingerprint, so it is tried at once.
        moved = [p.changed(email="new@customers.example") if p.customer_id == "c002" else p
                 for p in people(3)]  # fmt: skip
        publish(home, moved)
        corrected = run(home, sync, connection)
    assert (corrected.counts["acked"], corrected.counts["dead"]) == (1, 0)
    assert post.recipients["new@customers.example"] == 1


def test_a_connection_lost_before_the_text_is_retried(home: Home) -> None:
    publish(home, people(3))
    post = Post(drop_before={"c002@customers.example"})
    with post_office(home, post) as (_, connection):
        first = run(home, SYNC, connection)
        assert (first.counts["acked"], first.counts["deferred"]) == (2, 1)
        post.drop_before.clear()
        assert run(home, SYNC, connection).counts["acked"] == 1
    assert set(post.recipients.values()) == {1}


def test_a_connection_lost_after_the_text_is_unknown_until_a_person_decides(home: Home) -> None:
    publish(home, people(3))
    post = Post(drop_after={"c002@customers.example"})
    with post_office(home, post) as (_, connection):
        first = run(home, SYNC, connection)
        assert (first.status, first.counts["acked"], first.counts["unknown"]) == ("partial", 2, 1)
        post.drop_after.clear()
        second = run(home, SYNC, connection)
        assert (second.status, second.counts["unknown"]) == ("succeeded", 1)
        assert post.recipients["c002@customers.example"] == 1, "the server had it: no second one"
        with Ledger.open(home) as ledger:
            assert ledger.unknown_customers(SYNC.name) == ["c002"]
        assert decide_unknown(home, SYNC, was_delivered=True) == 1
        third = run(home, SYNC, connection)
    assert (third.counts["unchanged"], third.counts["unknown"], third.counts["acked"]) == (3, 0, 0)


def test_an_unknown_message_is_sent_again_when_a_person_says_it_was_lost(home: Home) -> None:
    publish(home, people(2))
    post = Post(drop_after={"c002@customers.example"})
    with post_office(home, post) as (_, connection):
        run(home, SYNC, connection)
        post.drop_after.clear()
        assert decide_unknown(home, SYNC, False, ["c002"]) == 1
        assert run(home, SYNC, connection).counts["acked"] == 1


def test_two_customers_with_one_address_get_one_message(home: Home) -> None:
    shared = [
        Person("c002", "Family@customers.example"),
        Person("c001", "family@customers.example"),
    ]
    publish(home, shared)
    with post_office(home) as (post, connection):
        first = run(home, SYNC, connection)
        assert (first.counts["acked"], first.counts["invalid"]) == (1, 1)
        second = run(home, SYNC, connection)
        assert (second.counts["unchanged"], second.counts["invalid"]) == (1, 1)
    assert len(post.delivered) == 1
    with Ledger.open(home) as ledger:
        states = dict(ledger.table("select customer_id, state from outbox"))
    assert states == {"c001": "acked", "c002": "invalid"}


def test_a_new_address_does_not_bring_a_second_message(home: Home) -> None:
    publish(home, people(1))
    with post_office(home) as (post, connection):
        run(home, SYNC, connection)
        publish(home, [Person("c001", "other@customers.example", "New name", "en")])
        assert run(home, SYNC, connection).counts["unchanged"] == 1
    assert len(post.delivered) == 1


@pytest.mark.parametrize(
    "address",
    ["no-at-sign", "two@at@signs.example", "a b@x.example", "a@x.example, b@x.example",
     "a@x.example\nBcc: b@x.example", "ünï@x.example", "<a@x.example>", "@x.example"],
)  # fmt: skip
def test_what_is_not_one_address_is_invalid(home: Home, address: str) -> None:
    publish(home, [Person("c001", address), Person("c002")])
    with post_office(home) as (post, connection):
        result = run(home, SYNC, connection)
    assert (result.counts["acked"], result.counts["invalid"]) == (1, 1)
    assert list(post.recipients) == ["c002@customers.example"]


def test_a_refused_sender_stops_at_once_and_blames_no_row(home: Home) -> None:
    publish(home, people(4))
    post = Post(refuse_sender="550 5.7.1 sender not allowed")
    with post_office(home, post) as (_, connection):
        first = run(home, SYNC, connection)
        assert (first.status, first.reason_code) == ("failed", "sender_refused")
        assert (first.counts["deferred"], first.counts["calls"]) == (4, 1)
        post.refuse_sender = None
        assert run(home, SYNC, connection).counts["acked"] == 4
    assert set(post.recipients.values()) == {1}


def test_a_server_that_is_away_costs_three_tries_and_no_row(home: Home) -> None:
    publish(home, people(20))
    with post_office(home) as (_, connection):
        pass
    sync = message_sync(retry={"in_run": 1, "across_runs": 1})
    away = run(home, sync, connection)
    assert (away.status, away.counts["deferred"], away.counts["calls"]) == ("partial", 20, 3)
    with post_office(home) as (post, connection):
        assert run(home, sync, connection).counts["acked"] == 20
    assert set(post.recipients.values()) == {1}


def test_a_stop_ends_between_two_messages(home: Home) -> None:
    publish(home, people(5))
    with post_office(home) as (post, connection):
        stopped = run(home, SYNC, connection, should_stop=lambda: len(post.delivered) == 2)
        assert (stopped.status, stopped.reason_code) == ("partial", "stopped")
        assert (stopped.counts["acked"], stopped.counts["deferred"]) == (2, 3)
        assert run(home, SYNC, connection).counts["acked"] == 3
    assert set(post.recipients.values()) == {1}


def test_progress_gives_numbers_only(home: Home) -> None:
    publish(home, people(3))
    seen = []
    with post_office(home) as (_, connection):
        run(home, SYNC, connection, progress=seen.append)
    assert [(p.settled, p.to_send) for p in seen] == [(1, 3), (2, 3), (3, 3)]
