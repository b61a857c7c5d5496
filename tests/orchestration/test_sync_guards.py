"""What stops a sync before it does harm, each with words to act on."""

import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from sync_fixtures import (
    Person,
    drop_connection,
    make_keys,
    message_sync,
    mirror_sync,
    people,
    post_office,
    publish,
    quick,
    read_drop,
    run,
    run_in_process,
    sync_home,  # noqa: F401
    write_connections,
)

from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.syncs.engine import run_sync
from orchestration.syncs.ledger import Ledger, LedgerError
from orchestration.syncs.plan import plan_sync

TABLE = "sync_csv_drop__vip"


def test_a_first_run_asks_to_be_confirmed(home: Home) -> None:
    publish(home, people(3))
    with post_office(home) as (post, connection):
        asked = run(home, message_sync(), connection, confirm_first_run=False)
        assert (asked.status, asked.reason_code) == ("blocked", "first_run_unconfirmed")
        assert "--confirm-first-run" in (asked.reason or "") and asked.counts["deferred"] == 3
        assert not post.delivered
        assert run(home, message_sync(), connection).status == "succeeded"
        publish(home, people(4))
        assert run(home, message_sync(), connection, confirm_first_run=False).counts["acked"] == 1


def test_a_first_run_may_be_allowed_in_the_settings(home: Home) -> None:
    publish(home, people(1))
    sync = message_sync(guards={"first_run": "allow"})
    with post_office(home) as (_, connection):
        assert run(home, sync, connection, confirm_first_run=False).status == "succeeded"


def test_an_emptied_model_removes_nobody(home: Home) -> None:
    publish(home, people(3), TABLE)
    run(home, mirror_sync(), drop_connection())
    publish(home, [], TABLE)
    result = run(home, mirror_sync(), drop_connection(), confirm_removals=True)
    assert (result.status, result.reason_code) == ("blocked", "too_few_rows")
    assert len(read_drop(home)[1]) == 3


def test_many_removals_need_a_persons_word(home: Home) -> None:
    sync = mirror_sync(guards={"max_delete_pct": 20, "max_delete_rows": 5})
    publish(home, people(20), TABLE)
    run(home, sync, drop_connection())
    publish(home, people(14), TABLE)
    stopped = run(home, sync, drop_connection())
    assert (stopped.status, stopped.reason_code) == ("blocked", "too_many_removals")
    assert "6 of 20" in (stopped.reason or "") and len(read_drop(home)[1]) == 20
    plan = plan_sync(home, sync, drop_connection())
    assert (plan.delete, [block.code for block in plan.blocks]) == (6, ["too_many_removals"])
    allowed = run(home, sync, drop_connection(), confirm_removals=True)
    assert (allowed.counts["delete"], len(read_drop(home)[1])) == (6, 14)


@pytest.mark.parametrize("left", [15, 18])
def test_few_removals_or_a_small_share_pass(home: Home, left: int) -> None:
    """15 of 20: at most five rows. 18 of 20: at most twenty per cent."""
    rows = 5 if left == 15 else 1
    sync = mirror_sync(guards={"max_delete_pct": 20, "max_delete_rows": rows})
    publish(home, people(20), TABLE)
    run(home, sync, drop_connection())
    publish(home, people(left), TABLE)
    assert run(home, sync, drop_connection()).status == "succeeded"


def test_bad_keys_block_and_are_counted_not_shown(home: Home) -> None:
    publish(home, [*people(2), Person("canary"), Person("canary")])
    connection = duckdb.connect(str(home.private_file))
    connection.execute(
        "insert into activation.sync_email__welcome values "
        "(null, true, null, 'email', 'x@x.example', 'X', 'en')"
    )
    connection.close()
    with post_office(home) as (post, smtp):
        result = run(home, message_sync(), smtp)
    assert (result.status, result.reason_code) == ("blocked", "bad_keys")
    assert "1 rows have no customer_id and 1 values" in (result.reason or "")
    assert "canary" not in (result.reason or "") and not post.delivered


def test_nothing_published_a_missing_table_and_a_missing_column_block(home: Home) -> None:
    assert run(home, message_sync(), None).reason_code == "nothing_published"
    publish(home, people(2), "sync_other")
    assert run(home, message_sync(), None).reason_code == "source_missing"
    publish(home, people(2))
    lacking = run(home, message_sync(fields={"first_name": "name_at_home"}), None)
    assert lacking.reason_code == "columns_missing" and "name_at_home" in (lacking.reason or "")


def test_a_company_without_that_data_needs_no_connection(home: Home) -> None:
    for sync, table in ((message_sync(), "sync_email__welcome"), (mirror_sync(), TABLE)):
        publish(home, [], table)
        result = run(home, sync, None, confirm_first_run=False)
        assert (result.status, result.planned, result.counts["rows_in"]) == ("succeeded", 0, 0)


def test_changes_without_a_connection_say_so(home: Home) -> None:
    publish(home, people(2))
    result = run(home, message_sync(), None)
    assert (result.status, result.reason_code) == ("blocked", "connection_missing")
    assert "connections.yml" in (result.reason or "") and result.counts["deferred"] == 2


def test_a_connection_of_another_kind_blocks(home: Home) -> None:
    publish(home, people(2))
    result = run(home, message_sync(), drop_connection())
    assert (result.status, result.reason_code) == ("blocked", "connection_unusable")
    keeps = mirror_sync(on_exit="none")
    publish(home, people(2), TABLE)
    assert "who leaves it is removed" in (run(home, keeps, drop_connection()).reason or "")


def test_a_missing_password_sends_nothing_and_blames_no_row(home: Home) -> None:
    publish(home, people(2))
    with post_office(home) as (post, connection):
        locked = connection.model_copy(
            update={"username": "shop", "password": "${env:CDP_NO_SUCH_SECRET}"}
        )
        result = run(home, message_sync(), locked)
        assert (result.status, result.reason_code) == ("failed", "connection_unusable")
        assert result.counts["deferred"] == 2 and not post.delivered
        assert run(home, message_sync(), connection).counts["acked"] == 2


@pytest.mark.parametrize("name", ["CDP_ID_PEPPER", "CDP_LEDGER_KEY"])
def test_another_pepper_or_key_is_refused(home: Home, name: str) -> None:
    publish(home, people(2))
    with post_office(home) as (post, connection):
        run(home, message_sync(), connection)
        kept = home.secrets_file.read_text()
        make_keys(home)
        new = [line for line in home.secrets_file.read_text().splitlines() if name in line]
        old = [line for line in kept.splitlines() if name not in line]
        home.secrets_file.write_text("\n".join(old + new))
        for act in (
            lambda: run(home, message_sync(), connection),
            lambda: plan_sync(home, message_sync(), connection),
        ):
            with pytest.raises(LedgerError, match=f"{name} is not the one"):
                act()
        home.secrets_file.write_text(kept)
        assert run(home, message_sync(), connection).counts["unchanged"] == 2
    assert len(post.delivered) == 2


def test_a_second_runner_says_already_running(home: Home) -> None:
    publish(home, people(3))
    entered, proceed = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        entered.set()
        assert proceed.wait(20)

    with post_office(home) as (post, connection):
        first: list[str] = []
        runner = threading.Thread(
            target=lambda: first.append(run(home, message_sync(), connection, progress=hold).status)
        )
        runner.start()
        assert entered.wait(20)
        second = run(home, message_sync(), connection)
        write_connections(home, connection)
        third = run_in_process(home, message_sync())
        proceed.set()
        runner.join(20)
    assert second.status == "already_running" and not second.is_failure
    assert json.loads(third.stdout)["status"] == "already_running" and third.returncode == 0
    assert first == ["succeeded"]
    assert set(post.recipients.values()) == {1} and len(post.delivered) == 3


def test_a_stalled_runner_cannot_send_after_another_took_over(home: Home) -> None:
    publish(home, people(4))
    with post_office(home) as (post, connection):

        def stall(progress: object) -> None:
            if len(post.delivered) == 2:
                taken = run(
                    home, message_sync(), connection, surroundings=quick(timedelta(hours=1))
                )
                assert taken.counts["acked"] == 2

        with pytest.raises(CdpError, match="nother runner"):
            run(home, message_sync(), connection, progress=stall)
        assert run(home, message_sync(), connection).counts["unchanged"] == 4
    assert set(post.recipients.values()) == {1}
    with Ledger.open(home) as ledger:
        statuses = [row[0] for row in ledger.table("select status from runs order by started_at")]
    assert sorted(statuses) == ["crashed", "succeeded", "succeeded"]


def test_a_ledger_that_cannot_be_written_sends_nothing(home: Home) -> None:
    publish(home, people(2))
    shutil.rmtree(home.ledger, ignore_errors=True)
    home.ledger.mkdir()
    with post_office(home) as (post, connection):
        with pytest.raises(LedgerError, match="cannot be written"):
            run(home, message_sync(), connection)
        assert not post.delivered


def test_a_full_disk_sends_nothing(home: Home) -> None:
    """The limit on file size makes every further write to the ledger fail."""
    publish(home, people(400))
    with post_office(home) as (post, connection):
        write_connections(home, connection)
        code = (
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000));"
        )
        from sync_fixtures import PROJECT, RUNNER

        meta = json.dumps(message_sync().meta.model_dump(exclude_none=True))
        failed = subprocess.run(
            [sys.executable, "-c", code + RUNNER, str(home.root), "sync_email__welcome", meta],
            env={"PYTHONPATH": str(PROJECT), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert failed.returncode == 1 and "LedgerError" in failed.stderr, failed.stderr
        assert not post.delivered
        assert run(home, message_sync(), connection).counts["acked"] == 400


def test_the_ledger_is_private_and_durable(home: Home) -> None:
    publish(home, people(1))
    with post_office(home) as (_, connection):
        run(home, message_sync(), connection)
    assert home.ledger.stat().st_mode & 0o777 == 0o600
    with Ledger.open(home) as ledger:
        assert list(ledger.table("pragma journal_mode")) == [("wal",)]
        assert list(ledger.table("pragma synchronous")) == [(2,)]


def test_the_plan_is_what_the_run_does(home: Home) -> None:
    publish(home, people(6), TABLE)
    run(home, mirror_sync(), drop_connection())
    moved = [p.changed(first_name="New") if p.customer_id == "c003" else p for p in people(8)]
    publish(home, [p for p in moved if p.customer_id != "c001"], TABLE)
    before = home.ledger.read_bytes()
    plan = plan_sync(home, mirror_sync(), drop_connection())
    assert home.ledger.read_bytes() == before
    result = run(home, mirror_sync(), drop_connection())
    assert (plan.insert, plan.update, plan.delete, plan.unchanged) == (2, 1, 1, 4)
    assert tuple(result.counts[n] for n in ("insert", "update", "delete", "unchanged")) == (
        2,
        1,
        1,
        4,
    )
    with Ledger.open(home) as ledger:
        fields = list(ledger.table("select changed_fields from outbox where operation = 'update'"))
    assert fields == [('["first_name"]',)]


def test_a_run_without_confirmation_or_time_uses_the_real_ones(home: Home) -> None:
    publish(home, people(1))
    with post_office(home) as (_, connection):
        result = run_sync(home, message_sync(), connection, confirm_first_run=True)
    assert result.status == "succeeded" and result.run_id is not None
    assert result.run_id[:8] == f"{datetime.now(UTC):%Y%m%d}"
