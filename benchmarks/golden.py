"""A day's landing against everything made anew: golden record, attributes, contact points."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import duckdb
from run import (
    AS_OF,
    KEPT_UP_TO_DATE,
    PROJECT,
    hold_back_a_day,
    make_sample,
    say,
    timed,
)

DAY_AFTER = AS_OF + timedelta(days=1)
Seconds = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.customers)


def measure(folder: Path, customers: int) -> None:
    """Two days of whole runs; then the second day's profile alone, anew and brought up to date."""
    home = make_sample(folder / "sample", customers)
    rows = hold_back_a_day(home / "landing", folder / "tomorrow")
    timed("the first build", home, "run", "--confirm-first-run", as_of=AS_OF.isoformat())
    first = folder / "first.duckdb"
    shutil.copy(home / "warehouse.duckdb", first)
    shutil.copytree(folder / "tomorrow", home / "landing", dirs_exist_ok=True)
    timed(f"the day after, {rows:,} rows", home, "run", as_of=DAY_AFTER.isoformat())
    scratch = folder / "scratch"
    scratch.mkdir()
    shutil.copy(home / "warehouse.duckdb", scratch)
    full = dbt(scratch, "--full-refresh")
    different = rows_different(home / "warehouse.duckdb", scratch / "warehouse.duckdb")
    changed, known = as_the_first_build_left_it(scratch / "warehouse.duckdb", first)
    day = dbt(scratch)
    idle = dbt(scratch)
    say(f"\n{changed:,} of {known:,} customers were worked out anew; rows different: {different}\n")
    say(f"| {'seconds of its statements':<36} | made anew | day after | nothing new |")
    say("| --- | --- | --- | --- |")
    for name in sorted(full, key=lambda each: -full[each]):
        say(f"| {name:<36} | {full[name]:9.2f} | {day[name]:9.2f} | {idle[name]:11.2f} |")
    sums = [sum(each.values()) for each in (full, day, idle)]
    say(f"| {'all':<36} | {sums[0]:9.2f} | {sums[1]:9.2f} | {sums[2]:11.2f} |")
    say(f"\nthe day after: {sums[1] / sums[0]:.1%} of made anew")


def dbt(scratch: Path, *options: str) -> Seconds:
    """Seconds of each model's statements in one dbt run, one model at a time, from dbt's log."""
    logs = scratch / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    command = [
        str(Path(sys.executable).with_name("dbt")), "run", "--threads", "1", *options,
        "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT),
        "--target-path", str(scratch / "target"), "--log-path", str(logs),
        "--vars", json.dumps({"as_of_date": DAY_AFTER.isoformat()}),
        "--select", *sorted(KEPT_UP_TO_DATE),
    ]  # fmt: skip
    environment = {**os.environ, "CDP_HOME": str(scratch)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(ended.stdout[-2000:])
    seconds = dict.fromkeys(sorted(KEPT_UP_TO_DATE), 0.0)
    name = ""
    for line in (logs / "dbt.log").read_text().splitlines():
        started = re.search(r"START sql \w+ model \w+\.(\w+)", line)
        name = started.group(1) if started else name
        spent = re.search(r"SQL status: OK in ([0-9.]+) seconds", line)
        if spent and name and "[Thread-1" in line:
            seconds[name] += float(spent.group(1))
    return seconds


def as_the_first_build_left_it(warehouse: Path, first: Path) -> tuple[int, int]:
    """Give it the first build's memory; how many customers are known otherwise, and of how many."""
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(f"attach '{first}' as first_build (read_only)")
        for table in ("loads", "customer_fingerprints"):
            connection.execute(
                f"create or replace table build_state.{table} as "
                f"from first_build.build_state.{table}"
            )
        changed, known = connection.execute(
            "select count(*) filter (where now.fingerprint is distinct from before.fingerprint), "
            "count(*) from profile.int_profile__customer_fingerprints as now "
            "full join build_state.customer_fingerprints as before using (customer_id)"
        ).fetchall()[0]
    return int(changed), int(known)


def rows_different(left: Path, right: Path) -> int:
    """Rows of the tables that are in one warehouse and not in the other."""
    different = 0
    with duckdb.connect(str(right), read_only=True) as connection:
        connection.execute(f"attach '{left}' as other (read_only)")
        places = connection.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_catalog <> 'other' and table_name in (select unnest(?))",
            [sorted(KEPT_UP_TO_DATE)],
        ).fetchall()
        for schema, table in places:
            mine, others = f"{schema}.{table}", f"other.{schema}.{table}"
            described = connection.execute(f"describe {mine}").fetchall()
            names = ", ".join(sorted(f'"{row[0]}"' for row in described))
            for one, two in ((mine, others), (others, mine)):
                different += connection.execute(
                    f"select count(*) from (select {names} from {one} "
                    f"except all select {names} from {two})"
                ).fetchall()[0][0]
    return different


if __name__ == "__main__":
    main()
