"""No personal data in ledger bytes, output, errors or ops tables; and what those tables say."""

import duckdb
import pytest
from sync_fixtures import (
    Person,
    Post,
    drop_connection,
    message_sync,
    mirror_sync,
    people,
    post_office,
    publish,
    run,
    run_in_process,
    sync_home,  # noqa: F401
    write_connections,
)

from orchestration.home import Home
from orchestration.syncs.export import export_ledger
from orchestration.syncs.scrub import scrub
from orchestration.syncs.status import sync_statuses

CANARY = "canary.person@secret-domain.example"
NAME = "Canarina"
PHONE = "+84 912 345 678"


def open_ops(home: Home) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"attach '{home.ops_file}' as exported (read_only)")
    connection.execute("use exported")
    return connection


def leaks(content: bytes) -> list[str]:
    text = content.lower()
    signs = ["canary.person", "secret-domain", NAME.lower(), "912 345", "84912345678", "hunter2"]
    return [sign for sign in signs if sign.encode() in text]


def all_bytes(home: Home) -> dict[str, bytes]:
    places = [*home.state.iterdir(), *home.published.glob("ops.duckdb*")]
    return {path.name: path.read_bytes() for path in places if path.name != "secrets.env"}


def test_a_canary_is_nowhere(
    home: Home, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    canaries = [Person("c001", CANARY, NAME), Person("c002", f"x{CANARY}", NAME), *people(2, 10)]
    publish(home, canaries)
    post = Post(
        refuse={
            CANARY: f"550 5.1.1 <{CANARY}> ({NAME}, {PHONE}) is unknown here",
            f"x{CANARY}": f"451 4.7.1 {CANARY.upper()} greylisted, call {PHONE}",
        }
    )
    with post_office(home, post) as (_, connection):
        result = run(home, message_sync(), connection)
        assert (result.counts["rejected"], result.counts["deferred"]) == (1, 1)
        post.refuse.clear()
        write_connections(home, connection)
        killed = run_in_process(home, message_sync(), "after_claim")
        assert killed.returncode == -9
        # While the row is open its content stands in the ledger, encrypted.
        assert {name: leaks(content) for name, content in all_bytes(home).items()} == {
            name: [] for name in all_bytes(home)
        }
        run(home, message_sync(), connection)
    publish(home, canaries, "sync_csv_drop__vip")
    run(home, mirror_sync(), drop_connection())
    publish(home, people(2, 10), "sync_csv_drop__vip")
    run(home, mirror_sync(), drop_connection())
    export_ledger(home)
    content = all_bytes(home)
    assert {"activation.sqlite", "ops.duckdb"} <= content.keys()
    assert {name: leaks(bytes_) for name, bytes_ in content.items() if leaks(bytes_)} == {}
    ops = open_ops(home)
    try:
        texts = ops.execute(
            "select error_text_scrubbed from ops.sync_log where state in ('rejected', 'deferred')"
        ).fetchall()
        dumped = str([ops.execute(f"select * from ops.{t}").fetchall() for t in (
            "sync_runs", "sync_log", "sync_attempts", "sync_snapshot")])  # fmt: skip
    finally:
        ops.close()
    assert sorted(text for (text,) in texts) == [
        "4.7.1 [address] greylisted, call [number]",
        "5.1.1 <[value]> ([value], [number]) is unknown here",
    ]
    output = capfd.readouterr()
    seen = output.out + output.err + killed.stdout + killed.stderr + str(result) + dumped
    logged = [record.getMessage() for record in caplog.records]
    assert leaks((seen + "".join(logged)).encode()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mailbox for ann@x.example full", "mailbox for [address] full"),
        ("call 0912 345 678 or +44 (0)20 7946 0958", "call [number] or [number]"),
        ("5.1.1 unknown (code 550)", "5.1.1 unknown (code 550)"),
        ("Nguyễn@x.example is gone", "[address] is gone"),
        ("no such user linh", "no such user [value]"),
        ("x" * 999, "x" * 200),
        (None, None),
    ],
)
def test_scrubbing(text: str | None, expected: str | None) -> None:
    assert scrub(text, ["Linh", "a", None]) == expected


def test_the_exported_tables_add_up(home: Home) -> None:
    publish(home, [*people(4), Person("c900", is_permitted=False)])
    post = Post(
        refuse={"c002@customers.example": "550 5.1.1 no"}, drop_after={"c003@customers.example"}
    )
    with post_office(home, post) as (_, connection):
        run(home, message_sync(), connection)
        run(home, message_sync(), connection)
    publish(home, people(3), "sync_csv_drop__vip")
    run(home, mirror_sync(), drop_connection())
    publish(home, people(2), "sync_csv_drop__vip")
    run(home, mirror_sync(), drop_connection())
    export_ledger(home)
    ops = open_ops(home)
    try:
        wrong = ops.execute(
            "select * from ops.sync_runs where n_insert + n_update + n_delete <> n_acked + "
            "n_rejected + n_withheld + n_invalid + n_deferred + n_unknown + n_superseded + n_dead"
        ).fetchall()
        runs = ops.execute("select status, n_acked from ops.sync_runs order by started_at")
        assert runs.fetchall() == [("partial", 2), ("succeeded", 0), ("succeeded", 3),
                                   ("succeeded", 1)]  # fmt: skip
        snapshot = ops.execute(
            "select sync, customer_id, status from ops.sync_snapshot order by all"
        ).fetchall()
        attempts = ops.execute("select outcome, count(*) from ops.sync_attempts group by 1")
        counted = dict(attempts.fetchall())
        kinds = dict(ops.execute(
            "select column_name, data_type from information_schema.columns "
            "where table_name = 'sync_log'").fetchall())  # fmt: skip
    finally:
        ops.close()
    assert wrong == []
    assert snapshot == [
        ("sync_csv_drop__vip", "c001", "present"),
        ("sync_csv_drop__vip", "c002", "present"),
        ("sync_csv_drop__vip", "c003", "absent"),
        ("sync_email__welcome", "c001", "present"),
        ("sync_email__welcome", "c002", "rejected"),
        ("sync_email__welcome", "c003", "unknown"),
        ("sync_email__welcome", "c004", "present"),
        ("sync_email__welcome", "c900", "withheld"),
    ]
    assert counted == {"acked": 6, "rejected": 1, "unknown": 1}
    assert kinds["settled_at"] == "TIMESTAMP" and kinds["attempts"] == "BIGINT"


def test_without_a_ledger_the_tables_are_there_and_empty(home: Home) -> None:
    export_ledger(home)
    ops = open_ops(home)
    try:
        for table in ("sync_runs", "sync_log", "sync_attempts", "sync_snapshot"):
            assert ops.execute(f"select count(*) from ops.{table}").fetchall() == [(0,)]
    finally:
        ops.close()
    assert not home.ledger.exists()
    assert [path.name for path in home.published.iterdir()] == ["ops.duckdb"]


def test_status_names_what_is_open(home: Home) -> None:
    publish(home, [*people(3), Person("c900", is_permitted=False)])
    (never,) = sync_statuses(home, [message_sync()])
    assert (never.status, never.present, never.unknown_customers) == (None, 0, ())
    with post_office(home, Post(drop_after={"c003@customers.example"})) as (_, connection):
        run(home, message_sync(), connection)
    (status,) = sync_statuses(home, [message_sync()])
    assert (status.status, status.present) == ("partial", 2)
    assert status.open_rows == {"unknown": 1, "withheld": 1}
    assert status.unknown_customers == ("c003",)
    assert status.counts["acked"] == 2 and status.finished_at is not None
    # Who leaves the audience is no longer an open matter, unless unknown.
    publish(home, people(3))
    with post_office(home) as (_, connection):
        run(home, message_sync(), connection)
    (status,) = sync_statuses(home, [message_sync()])
    assert status.open_rows == {"unknown": 1}
