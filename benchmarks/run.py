"""Times of the whole path, split by step, with peak memory; printed, never asserted."""

import argparse
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb

from orchestration.cli import DEMO_CONNECTIONS
from orchestration.demo.company import make_company
from orchestration.demo.delivery import period_start
from orchestration.home import Home, make_secrets

PROJECT = Path(__file__).resolve().parent.parent
AS_OF = date(2026, 11, 1)
CDP = str(Path(sys.executable).with_name("cdp"))


# What a customer's golden record, attributes and contact points cost, from staging on; and what is
# told of them besides.
KEPT_UP_TO_DATE = {
    "int_identity__contacts_of_sources", "int_profile__push_tokens", "int_profile__signal_events",
    "int_profile__klaviyo_addresses", "int_profile__contact_point_signals",
    "int_profile__reachability",
    "int_profile__customer_fingerprints", "int_profile__previous_fingerprints",
    "int_profile__changed_customers", "int_profile__contact_records",
    "int_profile__attribute_values", "customers",
    "customer_attributes", "int_profile__contact_points", "contact_points",
}  # fmt: skip
MADE_ANEW = {
    "int_profile__contact_versions", "int_profile__contact_records_by_day", "customer_history",
    "int_profile__consent_answers", "consent_history", "customer_consents",
    "contact_permissions", "customer_order_attributes",
}  # fmt: skip


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def timed(title: str, home: Path, *arguments: str, as_of: str | None = None) -> float:
    """Run a `cdp` command in its own process; print wall seconds."""
    environment = {**os.environ, "CDP_HOME": str(home), "CDP_QUIET_SECONDS": "0"}
    if as_of:
        environment["CDP_AS_OF_DATE"] = as_of
    started = time.monotonic()
    ended = subprocess.run(
        [CDP, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - started
    if ended.returncode:
        say(ended.stderr[-2000:])
        sys.exit(f"{title} failed")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    say(f"{title:<58} {seconds:7.1f} s   largest process so far {peak:,.0f} MB")
    return seconds


def steps(home: Path) -> None:
    """Where the last run's time went, from Dagster's own records."""
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        run = instance.get_runs(limit=1)[0]
        started: dict[str, float] = {}
        for entry in instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is None or not event.step_key:
                continue
            if event.event_type_value == "STEP_START":
                started[event.step_key] = entry.timestamp
            elif event.event_type_value == "STEP_SUCCESS":
                say(f"    {event.step_key:<54} {entry.timestamp - started[event.step_key]:7.1f} s")


def dominating(home: Path) -> float:
    """The last run's models by seconds, as dbt told Dagster; seconds of the golden record."""
    import dagster as dg

    models: dict[str, float] = {}
    with dg.DagsterInstance.get() as instance:
        run = instance.get_runs(limit=1)[0]
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        for entry in instance.all_logs(run.run_id, of_type=kind):
            assert entry.dagster_event
            told = entry.dagster_event.step_materialization_data.materialization.metadata
            name = str(told["unique_id"].value) if "unique_id" in told else ""
            if name.startswith("model."):
                models[name.split(".")[-1]] = float(str(told["Execution Duration"].value))
    manifest = json.loads((home / "dbt_target" / "manifest.json").read_text())["nodes"]
    layers = Counter[str]()
    for name, seconds in models.items():
        layers[manifest[f"model.cdp.{name}"]["config"]["schema"]] += seconds
    told_layers = ", ".join(f"{layer} {seconds:.0f} s" for layer, seconds in layers.most_common())
    say(f"    {len(models)} models, {sum(models.values()):.0f} s, two side by side: {told_layers}")
    golden = sum(seconds for name, seconds in models.items() if name in KEPT_UP_TO_DATE)
    for title, chosen in (
        (f"golden record, attributes and contact points: {golden:.1f} s", KEPT_UP_TO_DATE),
        ("history, consent and order attributes", MADE_ANEW),
        ("the slowest others", models.keys() - KEPT_UP_TO_DATE - MADE_ANEW),
    ):
        say(f"    {title}")
        slowest = sorted(((models.get(name, 0), name) for name in chosen), reverse=True)
        for seconds, name in slowest[:15]:
            say(f"        {name:<50} {seconds:7.1f} s")
    return golden


def plain_rfm(files: Path) -> None:
    """The same scan and RFM in one plain DuckDB statement: the floor."""
    started = time.monotonic()
    duckdb.sql(
        f"""
        select CustomerID, date '2011-12-10' - max(InvoiceDate)::date, count(distinct InvoiceNo),
            sum(Quantity * UnitPrice)
        from read_csv('{files}/*.csv')
        where CustomerID is not null and InvoiceNo not like 'C%' and Quantity > 0 and UnitPrice > 0
        group by 1
        """
    ).fetchall()
    say(f"{'plain DuckDB: scan and RFM of the same files':<58} {time.monotonic() - started:7.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--skip-reference", action="store_true")
    parser.add_argument("--engine", choices=["duckdb", "spark"], default="duckdb")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, engine(options.engine, Path(folder)):
        measure(Path(folder), options)


def make_sample(root: Path, customers: int) -> Path:
    """A home with the sample company's files, keys and embedded destinations."""
    home = Home(root).ensure()
    make_secrets(home)
    home.connections.write_text(DEMO_CONNECTIONS)
    made = make_company(home.landing, home.truth, customers, as_of=AS_OF)
    say(f"{'sample company made: ' + format(sum(made.rows.values()), ',') + ' rows':<58} "
        f"{made.seconds:7.1f} s   {made.files} files")  # fmt: skip
    return root


def hold_back_a_day(landing: Path, tomorrow: Path) -> int:
    """Move the last day's rows of every table into files of their own; how many they are.

    Rows lie in their files in the order of delivery, so the last day of a period's file is its end.
    """
    moved = 0
    for folder in sorted(path for path in landing.glob("*/*") if path.is_dir()):
        files = [
            path for path in folder.iterdir() if not re.search("copy|resent|robots", path.name)
        ]
        last = max(files, key=lambda path: (period_start(path.name), path.name))
        days = max((AS_OF - period_start(last.name)).days, 1)
        head, *rows = last.read_text(encoding="utf-8").splitlines(keepends=True)
        if last.suffix == ".jsonl":
            head, rows = "", [head, *rows]
        kept = len(rows) - math.ceil(len(rows) / days)
        target = tomorrow / folder.relative_to(landing) / f"{folder.name}_{AS_OF}{last.suffix}"
        target.parent.mkdir(parents=True)
        target.write_text(head + "".join(rows[kept:]), encoding="utf-8")
        last.write_text(head + "".join(rows[:kept]), encoding="utf-8")
        if not kept:
            last.unlink()
        moved += len(rows) - kept
    return moved


@contextmanager
def engine(name: str, folder: Path) -> Iterator[None]:
    """A Spark cluster of this machine for the block, where Spark is asked for."""
    if name == "duckdb":
        yield
        return
    from orchestration.warehouse.cluster import ClusterSettings, LocalCluster

    settings = ClusterSettings.from_environment()
    with LocalCluster(folder / "cluster", folder / "storage", settings, say) as cluster:
        os.environ.update(cluster.environment)
        yield


def measure(folder: Path, options: argparse.Namespace) -> None:
    """The sample company, then the real invoice lines, on one engine."""
    reference = Path(os.environ.get("CDP_REFERENCE_DATA") or PROJECT / "../shared/data")
    files = reference / "uci_online_retail" / "by-day"
    home = make_sample(folder / "sample", options.customers)
    rows = hold_back_a_day(home / "landing", folder / "tomorrow")
    title = f"{options.engine}: sample company of {options.customers:,} people, files to syncs"
    timed(title, home, "run", "--confirm-first-run", as_of=AS_OF.isoformat())
    steps(home)
    full = dominating(home)
    shutil.copytree(folder / "tomorrow", home / "landing", dirs_exist_ok=True)
    day_after = (AS_OF + timedelta(days=1)).isoformat()
    timed(f"the day after: {rows:,} rows landed, all built", home, "run", as_of=day_after)
    steps(home)
    day = dominating(home)
    say(f"    the day after costs the golden record {day / full:.1%} of the first build")
    timed("another run, nothing new (build skipped)", home, "run", as_of=day_after)
    if options.skip_reference or not files.exists() or options.engine != "duckdb":
        say(f"real invoice lines: skipped ({files.name} not asked for or not there)")
        return
    home = folder / "retail"
    landing = home / "landing" / "erp" / "invoice_lines"
    landing.mkdir(parents=True)
    for path in files.glob("*.csv"):
        shutil.copy(path, landing)
    plain_rfm(files)
    as_of = date(2011, 12, 10).isoformat()
    timed("real invoice lines, files to published RFM", home, "run", as_of=as_of)
    steps(home)
    dominating(home)


if __name__ == "__main__":
    main()
