"""The ledger as tables for the next build and for readers: `published/ops.duckdb`, schema `ops`.

Only hashed keys leave the ledger; the file is written aside and swapped in whole.
"""

import csv
import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from orchestration.home import Home
from orchestration.syncs.ledger import Ledger

NULL = "\\N"

SYNC_RUNS = {
    "run_id": "varchar",
    "sync": "varchar",
    "config_hash": "varchar",
    "code_hash": "varchar",
    "model_relation": "varchar",
    "publication_id": "varchar",
    "started_at": "timestamp",
    "planned_at": "timestamp",
    "finished_at": "timestamp",
    "status": "varchar",
    "reason_code": "varchar",
    "rows_in": "bigint",
    "n_insert": "bigint",
    "n_update": "bigint",
    "n_delete": "bigint",
    "n_unchanged": "bigint",
    "n_withheld": "bigint",
    "n_invalid": "bigint",
    "n_acked": "bigint",
    "n_rejected": "bigint",
    "n_deferred": "bigint",
    "n_unknown": "bigint",
    "n_superseded": "bigint",
    "n_dead": "bigint",
    "n_calls": "bigint",
    "resumed_from_run_id": "varchar",
}
SYNC_LOG = {
    "change_id": "varchar",
    "run_id": "varchar",
    "sync": "varchar",
    "customer_id": "varchar",
    "dest_key_hmac": "varchar",
    "operation": "varchar",
    "changed_fields": "varchar",
    "fp_before": "varchar",
    "fp_after": "varchar",
    "state": "varchar",
    "reason_code": "varchar",
    "attempts": "bigint",
    "idem_key": "varchar",
    "planned_at": "timestamp",
    "first_attempt_at": "timestamp",
    "settled_at": "timestamp",
    "dest_id": "varchar",
    "status_code": "bigint",
    "error_code": "varchar",
    "error_text_scrubbed": "varchar",
    "batch_id": "varchar",
}
SYNC_ATTEMPTS = {
    "attempt_id": "bigint",
    "change_id": "varchar",
    "run_id": "varchar",
    "batch_id": "varchar",
    "started_at": "timestamp",
    "ended_at": "timestamp",
    "outcome": "varchar",
    "status_code": "bigint",
    "error_code": "varchar",
    "retry_after_s": "double",
}
SYNC_SNAPSHOT = {
    "sync": "varchar",
    "customer_id": "varchar",
    "dest_key_hmac": "varchar",
    "status": "varchar",
    "reason_code": "varchar",
    "fp": "varchar",
    "since": "timestamp",
}

# What a destination holds says most; without that, why the person is not there.
SNAPSHOT_QUERY = """
    with latest as (
        select outbox.*,
            row_number() over (
                partition by sync, customer_id order by change_number desc
            ) as newest
        from outbox
    ),
    held as (
        select delivered.*,
            row_number() over (
                partition by sync, customer_id
                order by state = 'absent', changed_at desc, dest_key_hmac
            ) as newest
        from delivered
    ),
    people as (
        select sync, customer_id from latest where newest = 1
        union
        select sync, customer_id from held where newest = 1
    )
    select
        people.sync,
        people.customer_id,
        coalesce(held.dest_key_hmac, latest.dest_key_hmac),
        case
            when held.state = 'UNKNOWN' then 'unknown'
            when held.state = 'present' then 'present'
            when latest.closed_at is null
                and latest.state in ('withheld', 'invalid', 'rejected', 'deferred', 'dead')
                then latest.state
            else 'absent'
        end,
        latest.reason_code,
        held.fp,
        coalesce(held.changed_at, latest.settled_at, latest.planned_at)
    from people
    left join latest
        on people.sync = latest.sync
        and people.customer_id = latest.customer_id
        and latest.newest = 1
    left join held
        on people.sync = held.sync
        and people.customer_id = held.customer_id
        and held.newest = 1
    order by people.sync, people.customer_id
"""

TABLES: dict[str, tuple[Mapping[str, str], str]] = {
    "sync_runs": (
        SYNC_RUNS,
        f"select {', '.join(SYNC_RUNS)} from runs order by started_at, run_id",
    ),
    "sync_log": (SYNC_LOG, f"select {', '.join(SYNC_LOG)} from outbox order by change_number"),
    "sync_attempts": (
        SYNC_ATTEMPTS,
        f"select {', '.join(SYNC_ATTEMPTS)} from attempts order by attempt_id",
    ),
    "sync_snapshot": (SYNC_SNAPSHOT, SNAPSHOT_QUERY),
}


def export_ledger(home: Home) -> Path:
    """Write the ops tables; without a ledger they are there and empty."""
    home.published.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(home):
        part = home.published / f".{home.ops_file.name}.{secrets.token_hex(4)}.part"
        try:
            _write(home, part)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(home.ops_file)
        finally:
            part.unlink(missing_ok=True)
    return home.ops_file


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    """Of two syncs that finish together, the later reading must be the one that stays."""
    home.state.mkdir(parents=True, exist_ok=True)
    with (home.state / "export.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(home: Home, path: Path) -> None:
    ledger = Ledger.open_for_reading(home)
    # A file ops.duckdb with a schema ops is ambiguous when opened directly (DuckDB names the
    # catalog after the file), so it is attached under a name of its own.
    connection = duckdb.connect()
    try:
        connection.execute("attach '" + str(path).replace("'", "''") + "' as exported")
        connection.execute("create schema exported.ops")
        for table, (columns, query) in TABLES.items():
            declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            connection.execute(f"create table exported.ops.{table} ({declared})")
            if ledger is not None:
                _fill(connection, table, columns, ledger, query)
        connection.execute("detach exported")
    finally:
        connection.close()
        if ledger is not None:
            ledger.close()


def _fill(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, str],
    ledger: Ledger,
    query: str,
) -> None:
    """By way of a CSV, which DuckDB loads far faster than it takes single inserts."""
    with tempfile.TemporaryDirectory(prefix="cdp-export-") as folder:
        path = Path(folder) / f"{table}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            for row in ledger.table(query):
                writer.writerow([NULL if value is None else value for value in row])
        connection.execute(
            f"""
            insert into exported.ops.{table}
            select * from read_csv(
                ?, header = false, columns = ?, nullstr = ?, allow_quoted_nulls = true,
                auto_detect = false, delim = ',', quote = '"', escape = '"',
                timestampformat = '%Y-%m-%d %H:%M:%S.%f'
            )
            """,
            [str(path), dict(columns), NULL],
        )
