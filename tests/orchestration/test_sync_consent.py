"""No positive, fresh permission, no send: at planning and again when a row is claimed."""

from datetime import timedelta

from sync_fixtures import (
    Person,
    drop_connection,
    message_sync,
    mirror_sync,
    people,
    post_office,
    publish,
    quick,
    read_drop,
    run,
    sync_home,  # noqa: F401
)

from orchestration.home import Home
from orchestration.syncs.engine import Progress


def test_a_permission_withdrawn_between_two_messages_stops_the_second(home: Home) -> None:
    publish(home, people(4))
    withdrawn = [p.changed(is_permitted=False) if p.customer_id == "c003" else p for p in people(4)]

    def withdraw(progress: Progress) -> None:
        if progress.settled == 1:
            publish(home, withdrawn)

    with post_office(home) as (post, connection):
        result = run(home, message_sync(), connection, progress=withdraw)
    assert (result.counts["acked"], result.counts["withheld"]) == (3, 1)
    assert "c003@customers.example" not in post.recipients


def test_the_payloads_own_word_is_not_enough(home: Home) -> None:
    publish(home, [Person("c001"), Person("c002", permission=False)])
    with post_office(home) as (post, connection):
        result = run(home, message_sync(), connection)
    assert (result.counts["acked"], result.counts["withheld"]) == (1, 1)
    assert list(post.recipients) == ["c001@customers.example"]


def test_an_old_publication_is_not_sent_from(home: Home) -> None:
    publish(home, people(2), age=timedelta(hours=25))
    with post_office(home) as (post, connection):
        result = run(home, message_sync(), connection)
    assert (result.status, result.reason_code) == ("blocked", "publication_stale")
    assert "25 hours old" in (result.reason or "") and not post.delivered


def test_a_publication_that_ages_during_the_run_ends_it(home: Home) -> None:
    publish(home, people(4))
    hours = [0.0]
    surroundings = quick()
    clock = surroundings.clock

    with post_office(home) as (post, connection):
        result = run(
            home,
            message_sync(),
            connection,
            surroundings=surroundings.__class__(
                clock=lambda: clock() + timedelta(hours=hours[0]), sleep=lambda _: None
            ),
            progress=lambda p: hours.__setitem__(0, 25.0 if p.settled == 2 else hours[0]),
        )
    # The lease is long over by then as well, but nobody else took it.
    assert (result.status, result.reason_code) == ("partial", "publication_stale")
    assert (result.counts["acked"], result.counts["deferred"], len(post.delivered)) == (2, 2, 2)


def test_an_exempt_sync_needs_no_permission_but_obeys_the_payload(home: Home) -> None:
    sync = mirror_sync(consent={"exempt": "pseudonymous file for our own staff"})
    publish(
        home,
        [Person("c001", permission=False), Person("c002", is_permitted=False)],
        "sync_csv_drop__vip",
        age=timedelta(days=9),
    )
    result = run(home, sync, drop_connection())
    assert (result.counts["acked"], result.counts["withheld"]) == (1, 1)


def test_who_withdraws_is_taken_out_of_a_mirror(home: Home) -> None:
    publish(home, people(4), "sync_csv_drop__vip")
    run(home, mirror_sync(), drop_connection())
    publish(
        home,
        [p.changed(is_permitted=False) if p.customer_id == "c002" else p for p in people(4)],
        "sync_csv_drop__vip",
    )
    result = run(home, mirror_sync(), drop_connection())
    assert (result.counts["delete"], result.counts["acked"], result.counts["withheld"]) == (1, 1, 0)
    manifest, members, changes = read_drop(home)
    assert [m["customer_id"] for m in members] == ["c001", "c003", "c004"]
    assert changes == [
        {"operation": "delete", "customer_id": "c002", "email": "", "first_name": ""}
    ]
    assert manifest["removals"] == 1
    again = run(home, mirror_sync(), drop_connection())
    assert (again.counts["withheld"], again.counts["calls"]) == (1, 0)


def test_a_whole_file_leaves_out_who_withdraws_after_planning(home: Home, monkeypatch) -> None:
    """Held and unchanged people too: the file would repeat them."""
    publish(home, people(4), "sync_csv_drop__vip")
    run(home, mirror_sync(), drop_connection())
    publish(home, people(6), "sync_csv_drop__vip")
    gone = {"c002", "c006"}
    from orchestration.syncs import engine

    def withdraw(point: str) -> None:
        if point == "after_plan":
            publish(
                home,
                [p.changed(is_permitted=p.customer_id not in gone) for p in people(6)],
                "sync_csv_drop__vip",
            )

    monkeypatch.setattr(engine, "reach", withdraw)
    result = run(home, mirror_sync(), drop_connection())
    assert (result.counts["insert"], result.counts["delete"]) == (2, 1)
    assert (result.counts["acked"], result.counts["withheld"]) == (2, 1)
    _, members, changes = read_drop(home)
    assert [m["customer_id"] for m in members] == ["c001", "c003", "c004", "c005"]
    assert {(c["operation"], c["customer_id"]) for c in changes} == {
        ("delete", "c002"),
        ("upsert", "c005"),
    }
