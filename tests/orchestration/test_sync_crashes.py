"""SIGKILL at each named point, then run again: nobody twice, nobody forgotten."""

import sqlite3

import pytest
from sync_fixtures import (
    Post,
    drop_connection,
    message_sync,
    mirror_sync,
    people,
    post_office,
    publish,
    read_drop,
    run,
    run_in_process,
    sync_home,  # noqa: F401
    write_connections,
)

from orchestration.home import Home
from orchestration.syncs import engine
from orchestration.syncs.ledger import Ledger

POINTS = ["after_plan", "after_claim", "before_data", "after_server_commit", "before_settle"]
KILLED = -9
TABLE = "sync_csv_drop__vip"


def crashed_runs(home: Home) -> list[dict[str, int]]:
    connection = sqlite3.connect(home.ledger)
    try:
        return [
            {"planned": planned, "ended": ended}
            for planned, ended in connection.execute(
                "select n_insert + n_update + n_delete, n_acked + n_rejected + n_withheld + "
                "n_invalid + n_deferred + n_unknown + n_superseded + n_dead "
                "from runs where status = 'crashed'"
            )
        ]
    finally:
        connection.close()


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_messaging(home: Home, point: str) -> None:
    audience = people(6)
    publish(home, audience)
    kill_at = point if point == "after_plan" else f"{point}:3"
    with post_office(home) as (post, connection):
        write_connections(home, connection)
        killed = run_in_process(home, message_sync(), kill_at)
        assert killed.returncode == KILLED, killed.stderr
        result = run(home, message_sync(), connection)
        again = run(home, message_sync(), connection)
    assert all(count == 1 for count in post.recipients.values()), "nobody gets two"
    with Ledger.open(home) as ledger:
        unknown = ledger.unknown_customers("sync_email__welcome")
        present = ledger.count_present("sync_email__welcome")
    assert present + len(unknown) == 6, "everyone is acknowledged, or unknown and named"
    assert unknown == ([] if point == "after_plan" else ["c003"])
    assert result.counts["unknown"] == len(unknown)
    assert (again.counts["acked"], again.counts["calls"]) == (0, 0)
    reached = {address.partition("@")[0] for address in post.recipients}
    assert reached | set(unknown) == {person.customer_id for person in audience}
    assert all(run["planned"] == run["ended"] for run in crashed_runs(home))
    assert len(crashed_runs(home)) == 1
    with Ledger.open(home) as ledger:
        named = list(ledger.table("select customer_id from outbox where state = 'unknown'"))
    assert [customer_id for (customer_id,) in named] == unknown


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_writing_a_file(home: Home, point: str) -> None:
    publish(home, people(4), TABLE)
    write_connections(home)
    run(home, mirror_sync(), drop_connection())
    _, members_before, _ = read_drop(home)
    publish(home, [p.changed(first_name="New") for p in people(5, start=2)], TABLE)
    killed = run_in_process(home, mirror_sync(), point)
    assert killed.returncode == KILLED, killed.stderr
    # Whoever reads the drop now sees a whole version, old or new.
    _, members_between, _ = read_drop(home)
    assert len(members_between) in (len(members_before), 5)
    run(home, mirror_sync(), drop_connection())
    _, members, _ = read_drop(home)
    assert [m["customer_id"] for m in members] == ["c002", "c003", "c004", "c005", "c006"]
    assert {m["first_name"] for m in members} == {"New"}
    again = run(home, mirror_sync(), drop_connection())
    assert (again.counts["unchanged"], again.counts["calls"]) == (5, 0)
    assert all(run["planned"] == run["ended"] for run in crashed_runs(home))


def add_in_flight_then_leave(home: Home) -> list[str]:
    """Killed after the destination has u5 and before the ledger knows; then u5 leaves."""
    publish(home, people(4), TABLE)
    run(home, mirror_sync(), drop_connection())
    publish(home, people(5), TABLE)
    write_connections(home)
    killed = run_in_process(home, mirror_sync(), "after_server_commit")
    assert killed.returncode == KILLED, killed.stderr
    _, members, _ = read_drop(home)
    assert len(members) == 5
    publish(home, people(4), TABLE)
    run(home, mirror_sync(), drop_connection())
    manifest, members, _ = read_drop(home)
    assert (manifest["removals"] == 1) == (len(members) == 4)
    return [member["customer_id"] for member in members]


def test_who_leaves_while_their_add_is_in_flight_is_removed(home: Home) -> None:
    assert add_in_flight_then_leave(home) == ["c001", "c002", "c003", "c004"]


def test_without_the_write_ahead_they_would_stay(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above is worth something: it fails when the safeguard is taken out."""
    publish(home, people(4), TABLE)
    run(home, mirror_sync(), drop_connection())
    publish(home, people(5), TABLE)

    class Died(BaseException):
        pass

    def die(point: str) -> None:
        if point == "before_settle":
            raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_mark_unknown", lambda *_: None)
        patch.setattr(engine, "reach", die)
        with pytest.raises(Died):
            run(home, mirror_sync(), drop_connection())
    publish(home, people(4), TABLE)
    run(home, mirror_sync(), drop_connection())
    _, members, _ = read_drop(home)
    assert "c005" in [member["customer_id"] for member in members]


def test_an_unforeseen_fault_is_recovered_like_a_death(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(home, people(3))

    def fail(point: str) -> None:
        if point == "before_settle":
            raise RuntimeError("a fault nobody thought of")

    with post_office(home) as (post, connection):
        with monkeypatch.context() as patch:
            patch.setattr(engine, "reach", fail)
            with pytest.raises(RuntimeError):
                run(home, message_sync(), connection)
        result = run(home, message_sync(), connection)
    assert (result.counts["acked"], result.counts["unknown"]) == (2, 1)
    assert set(post.recipients.values()) == {1}


def test_kills_in_a_row_reach_everyone_at_most_once(home: Home) -> None:
    publish(home, people(12))
    hits = 0
    with post_office(home, Post()) as (post, connection):
        write_connections(home, connection)
        for number, point in enumerate(POINTS[1:], start=1):
            killed = run_in_process(home, message_sync(), f"{point}:{1 + number % 3}")
            hits += killed.returncode == KILLED
        result = run(home, message_sync(), connection)
    assert hits == 4
    assert all(count == 1 for count in post.recipients.values())
    assert result.counts["unknown"] + result.counts["unchanged"] + result.counts["acked"] == 12
    assert result.counts["unknown"] <= hits
