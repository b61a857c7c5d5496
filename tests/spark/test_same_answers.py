"""Both engines, one answer: the same landings and days through DuckDB and a Spark cluster.

A first build by the whole Dagster job and two incremental ones, on the sample company and a
real retailer's invoice lines. During the last one a worker is killed. `make spark` runs it at
full size; CDP_PARITY_PEOPLE and CDP_PARITY_DAYS set another.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from conftest import skip_or_fail
from support import PROJECT, account, environment_of, make_home, put

from orchestration.checks.parity import TableParity, compare_warehouses
from orchestration.demo.company import make_company
from orchestration.home import Home
from orchestration.landing.readers import canonical_json
from orchestration.project import dbt_variables
from orchestration.publish.publish import published_tables
from orchestration.warehouse.base import Warehouse
from orchestration.warehouse.cluster import LocalCluster
from orchestration.warehouse.connect import remember_installation
from orchestration.warehouse.duckdb import DuckDbWarehouse
from orchestration.warehouse.spark import SparkWarehouse

PEOPLE = int(os.environ.get("CDP_PARITY_PEOPLE") or 1000)
DAYS = int(os.environ.get("CDP_PARITY_DAYS") or 20)
SEED = 7
BUILDS = (date(2026, 9, 1), date(2026, 10, 1), date(2026, 11, 1))
SALT = "5a17" * 16
KILLED = 2
LIMIT_SECONDS = 3600
# Seeds are the same in the next build: they need not be made anew.
ALL_MODELS = ("--exclude-resource-type", "test", "unit_test")
MODELS = (*ALL_MODELS, "seed")
# Raw rows of every type, and history: what a move carries.
MOVED = [
    *(("raw_shopify", name) for name in ("order", "order_line", "customer__rejected")),
    *(("raw_web", "events"), ("raw_landing", "loads"), ("raw_landing", "current_loads")),
    *(("identity", name) for name in ("identity_registry", "identity_map", "identity_events")),
]
HISTORY_OF_IDENTITY = ("registry", "map", "events", "quarantine", "run_metrics")
HISTORY = [
    *(("identity", f"identity_{name}") for name in HISTORY_OF_IDENTITY),
    *(("audiences", "audience_memberships"), ("raw_cdp", "installation")),
]
GUEST, ACCOUNT = "ada.twin@post.example", "bea.twin@post.example"


def say(line: str) -> None:
    """Progress on the terminal, whatever pytest keeps for itself."""
    sys.__stderr__.write(f"  {datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.__stderr__.flush()


@dataclass
class Side:
    """One engine's home and how commands reach it."""

    home: Home
    settings: Mapping[str, str]

    def environment(self, as_of: date) -> dict[str, str]:
        return {**environment_of(self.home, as_of), **self.settings}

    def cdp(self, as_of: date, *arguments: str) -> str:
        """One `cdp` command in a process of its own; what it printed."""
        return self._run([sys.executable, "-m", "orchestration.cli", *arguments], as_of)

    def dbt_command(
        self, as_of: date, *arguments: str, project: Path = PROJECT, **variables: Any
    ) -> list[str]:
        place = ("--project-dir", str(project), "--profiles-dir", str(project))
        target = ("--target-path", str(self.home.dbt_target), "--log-path", str(self.home.root))
        prefix = self.settings.get("CDP_SCHEMA_PREFIX", "")
        given = {**dbt_variables(self.home, as_of), "schema_prefix": prefix, **variables}
        dbt = str(Path(sys.executable).with_name("dbt"))
        return [dbt, *arguments, *place, *target, "--vars", json.dumps(given)]

    def dbt(self, as_of: date, *arguments: str, **given: Any) -> str:
        """One dbt command; what it printed."""
        return self._run(self.dbt_command(as_of, *arguments, **given), as_of)

    def _run(self, command: list[str], as_of: date) -> str:
        ended = subprocess.run(
            command,
            cwd=PROJECT,
            env=self.environment(as_of),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, f"{command[:4]}: {ended.stdout[-3000:]}{ended.stderr[-3000:]}"
        return ended.stdout

    def warehouse(self) -> Warehouse:
        if self.settings["CDP_TARGET"] == "duckdb":
            return DuckDbWarehouse(self.home.warehouse)
        port = int(self.settings["CDP_SPARK_PORT"])
        prefix = self.settings.get("CDP_SCHEMA_PREFIX", "")
        return SparkWarehouse("127.0.0.1", port, self.settings["CDP_SPARK_STORAGE"], prefix)


@dataclass
class Pair:
    """Both sides after all builds, and what was found after each."""

    duck: Side
    spark: Side
    cluster: LocalCluster
    compared: list[list[TableParity]] = field(default_factory=list)
    published: dict[str, list[str]] = field(default_factory=dict)
    alive_after_kill: int = -1
    lost_executors: int = 0

    def compare(self, only: set[str] | None = None) -> list[TableParity]:
        tables = [
            (table.layer, table.name)
            for table in published_tables(self.duck.home.manifest)
            if only is None or f"{table.layer}.{table.name}" in only
        ]
        with self.duck.warehouse() as left, self.spark.warehouse() as right:
            return compare_warehouses(left, right, tables, progress=say)


def batch_of(name: str) -> int:
    """The build that a file of the sample company lands for, by the month in its name."""
    found = re.search(r"2026-(09|10)", name)
    return 0 if found is None else int(found.group(1)) - 8


NO_INVOICES = "the UCI Online Retail files are not here; see CDP_REFERENCE_DATA in README"


def invoice_files() -> list[Path]:
    """The real invoice lines; the sample company alone is compared where they are not."""
    root = Path(os.environ.get("CDP_REFERENCE_DATA") or PROJECT.parent / "shared/data")
    return sorted((root / "uci_online_retail/by-day").glob("*.csv"))[:DAYS]


def make_batches(folder: Path) -> list[Home]:
    """What lands for each of the three builds, as homes to copy the landing folder from."""
    whole = make_home(folder / "whole")
    make_company(whole.landing, whole.truth, PEOPLE, SEED, BUILDS[-1])
    batches = [make_home(folder / f"batch{number}") for number in range(3)]
    for path in sorted(whole.landing.rglob("*")):
        if path.is_file():
            target = batches[batch_of(path.name)].landing / path.relative_to(whole.landing)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    files = invoice_files()
    say(f"{PEOPLE:,} people and {len(files)} days of invoices" if files else NO_INVOICES)
    for number, path in enumerate(files):
        batch = 0 if number < len(files) * 3 // 4 else 1 + number % 2
        target = batches[batch].landing / "erp/invoice_lines" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    put_twins(batches)
    return batches


def put_twins(batches: list[Home]) -> None:
    """A guest and an account; an order that makes them one; the same order, corrected.

    And an account that is gone from the file when it comes again.
    """
    at = "2026-08-01 10:00:00"
    common = {
        **{"currency": "GBP", "total_price": "10", "billing_address_country_code": "GB"},
        **{"created_at": at, "updated_at": at},
    }
    kept = account("parity-b", at, email=ACCOUNT)
    leaving = account("parity-c", at, email="cat.leaver@post.example")
    put(batches[0], "shopify/customer", "parity_accounts.csv", [kept, leaving])
    put(batches[2], "shopify/customer", "parity_accounts.csv", [kept])
    guest = {**common, "id": "parity-1", "customer_id": "", "email": GUEST}
    put(batches[0], "shopify/order", "parity_guest.csv", [guest])
    for batch, email in ((1, GUEST), (2, ACCOUNT)):
        order = {**common, "id": "parity-2", "customer_id": "parity-b", "email": email}
        put(batches[batch], "shopify/order", "parity_link.csv", [order])


@pytest.fixture(scope="module")
def pair(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both engines after three builds; tables and published files were compared on the way."""
    folder = tmp_path_factory.mktemp("parity")
    batches = make_batches(folder)
    duck = Side(make_home(folder / "duck"), {"CDP_TARGET": "duckdb"})
    spark = Side(make_home(folder / "spark"), cluster.environment)
    # One salt and one pepper: ids and masked values are theirs.
    shutil.copy(duck.home.secrets_file, spark.home.secrets_file)
    pair = Pair(duck, spark, cluster)
    for side in (duck, spark):
        with side.warehouse() as warehouse:
            warehouse.ensure_table(
                "raw_cdp", "installation", {"salt": "varchar", "created_at": "timestamp"}
            )
            warehouse.append("raw_cdp", "installation", pa.table({"salt": [SALT]}))
            remember_installation(side.home, warehouse)
    for number, batch in enumerate(batches):
        say(f"build {number + 1} of {len(BUILDS)}, as of {BUILDS[number]}")
        # Side by side: neither knows of the other.
        with ThreadPoolExecutor() as both:
            ends = [both.submit(build, pair, side, batch, number) for side in (duck, spark)]
        for end in ends:
            end.result()
        if number == 0:
            pair.published = published_differences(pair)
        pair.compared.append(pair.compare())
    yield pair
    shutil.rmtree(folder, ignore_errors=True)


# From the second build on customers are too large sooner, so that there are bridges to compare.
SMALLER = {"max_cluster_size": 8}


def build(pair: Pair, side: Side, batch: Home, number: int) -> None:
    """Land a batch and build, the first time by the whole job."""
    started = time.monotonic()
    as_of = BUILDS[number]
    shutil.copytree(batch.landing, side.home.landing, dirs_exist_ok=True)
    if number == 0:
        side.cdp(as_of, "run", "--confirm-first-run")
    else:
        side.cdp(as_of, "land")
        if number == 2 and side is pair.spark:
            build_while_a_worker_dies(pair, as_of)
        else:
            side.dbt(as_of, "build", *MODELS, **SMALLER)
    say(f"  {side.settings['CDP_TARGET']}: {time.monotonic() - started:.0f} s")


def build_while_a_worker_dies(pair: Pair, as_of: date) -> None:
    """A build on Spark in whose midst one of the two workers is killed."""
    log = pair.spark.home.root / "build.log"
    told = pair.cluster.folder / "logs/thrift-server.log"
    before = told.read_text(errors="replace").count("Lost executor")
    with log.open("w") as file:
        build = subprocess.Popen(
            pair.spark.dbt_command(as_of, "build", *MODELS, **SMALLER),
            cwd=PROJECT,
            env=pair.spark.environment(as_of),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + LIMIT_SECONDS
            # In the identity loop, whose tables are made of one another.
            while "START sql table model identity.identity_components" not in log.read_text():
                assert build.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, "the build does not reach the identity loop"
                time.sleep(0.1)
            time.sleep(1)
            say(f"  killed worker {KILLED}, process {pair.cluster.kill_worker(KILLED)}")
            assert build.wait(LIMIT_SECONDS) == 0, log.read_text()[-3000:]
        finally:
            if build.poll() is None:
                build.kill()
    pair.alive_after_kill = pair.cluster.alive_workers()
    pair.lost_executors = told.read_text(errors="replace").count("Lost executor") - before
    pair.cluster.start_worker(KILLED)


# Without what no two runs share.
OF_EVERY_RUN = {
    "identity_events": "* exclude (run_id)",
    "identity_run_metrics": "* exclude (run_id, solve_seconds)",
}


def published_differences(pair: Pair) -> dict[str, list[str]]:
    """Per published file what differs in its tables, their columns or their rows."""
    found: dict[str, list[str]] = {}
    for name in ("cdp.duckdb", "private.duckdb"):
        with duckdb.connect() as connection:
            for alias, side in (("duck", pair.duck), ("spark", pair.spark)):
                path = side.home.published / name
                connection.execute(f"attach '{path}' as {alias} (read_only)")
            listed = [
                set(
                    connection.execute(
                        "select schema_name, table_name, sql from duckdb_tables() "
                        "where database_name = ?",
                        [alias],
                    ).fetchall()
                )
                for alias in ("duck", "spark")
            ]
            found[name] = [f"table {row[1]}" for row in sorted(listed[0] ^ listed[1])]
            for schema, table, _ in sorted(listed[0] & listed[1]):
                if schema == "publication":
                    continue
                columns = OF_EVERY_RUN.get(table, "*")
                rows = [f'select {columns} from {side}."{schema}"."{table}"' for side in SIDES]
                for one, other in (rows, reversed(rows)):
                    count = connection.execute(
                        f"select count(*) from ({one} except all {other})"
                    ).fetchall()[0][0]
                    if count:
                        found[name].append(f"{schema}.{table}: {count} rows")
    return found


SIDES = ("duck", "spark")


def shown(parities: list[TableParity]) -> str:
    """The parity table, and examples of what differs."""
    lines = [f"{'table':<48}{'DuckDB':>10}{'Spark':>10}{'differ':>8}"]
    for each in parities:
        lines.append(
            f"{each.table:<48}{each.left_rows:>10,}{each.right_rows:>10,}{each.differences:>8,}"
        )
        lines += [f"    {example[:600]}" for example in each.examples]
    return "\n".join(lines)


@pytest.mark.parametrize("number", range(len(BUILDS)))
def test_every_table_is_the_same_after_each_build(pair: Pair, number: int) -> None:
    compared = pair.compared[number]
    if number == len(BUILDS) - 1:
        say("\n" + shown(compared))
    assert [each.table for each in compared if not each.is_equal] == [], shown(compared)
    assert len(compared) >= 30


def test_real_invoice_lines_are_among_what_was_compared(pair: Pair) -> None:
    files = invoice_files()
    if not files:
        skip_or_fail(NO_INVOICES)
    with pair.spark.warehouse() as warehouse:
        loads = warehouse.place("raw_landing", "loads")
        landed = {row[0] for row in warehouse.rows(f"select file from {loads}")}
    assert {f"invoice_lines/{path.name}" for path in files} <= landed


def test_no_table_is_empty(pair: Pair) -> None:
    assert [each.table for each in pair.compared[-1] if each.left_rows == 0] == []


def test_the_builds_hold_merges_and_what_undoes_them(pair: Pair) -> None:
    """Parity of a history in which nothing happened would prove little."""
    with pair.spark.warehouse() as warehouse:
        events = warehouse.place("identity", "identity_events")
        memberships = warehouse.place("audiences", "audience_memberships")
        kinds = {row[0] for row in warehouse.rows(f"select distinct event_type from {events}")}
        exits = warehouse.rows(f"select count(*) from {memberships} where not is_current")
    assert kinds >= {"create", "merge", "restore", "retire"}
    assert exits[0][0] > 0


def test_published_files_are_the_same(pair: Pair) -> None:
    assert pair.published == {"cdp.duckdb": [], "private.duckdb": []}


def test_a_killed_worker_changes_nothing(pair: Pair) -> None:
    assert pair.alive_after_kill == 1, "the worker was not dead when the build ended"
    assert pair.lost_executors >= 1, "Spark did not lose an executor: the kill hit nobody's work"
    assert all(each.is_equal for each in pair.compared[-1])


def test_unit_tests_pass_on_spark(pair: Pair) -> None:
    told = pair.spark.dbt(BUILDS[-1], "test", "--select", "test_type:unit")
    found = re.search(r"PASS=(\d+) WARN=0 ERROR=0", told)
    assert found, told[-3000:]
    assert int(found.group(1)) >= 100


@pytest.mark.parametrize("side", SIDES)
def test_docs_are_made_on_either_engine(pair: Pair, side: str) -> None:
    chosen: Side = getattr(pair, side)
    chosen.dbt(BUILDS[-1], "docs", "generate")
    catalog: dict[str, Any] = json.loads((chosen.home.dbt_target / "catalog.json").read_text())
    described = catalog["nodes"]["model.cdp.customers"]["columns"]
    assert {name.lower() for name in described} >= {"customer_id", "email", "first_seen_at"}
    assert not catalog["errors"]


def test_models_compile_for_schemas_with_a_prefix(pair: Pair) -> None:
    pair.spark.dbt(
        BUILDS[-1],
        *("compile", "--select", "identity_registry", "stg_web__events"),
        schema_prefix="team_",
    )
    compiled = pair.spark.home.dbt_target / "compiled/cdp/models"
    assert "team_raw_web.events" in (compiled / "staging/web/stg_web__events.sql").read_text()
    told = (compiled / "identity/identity_registry.sql").read_text()
    assert "team_identity.int_identity__registry_next" in told


def test_a_swap_that_was_cut_short_is_finished(pair: Pair) -> None:
    """A build that dies while it swaps a history table leaves its next state beside its place."""
    with pair.spark.warehouse() as warehouse:
        registry = warehouse.place("identity", "identity_registry")
        before = sorted(warehouse.rows(f"select * from {registry}"))
        assert isinstance(warehouse, SparkWarehouse)
        warehouse.execute(
            "alter table identity.identity_registry rename to identity.identity_registry__next"
        )
    pair.spark.dbt(BUILDS[-1], "run", "--select", "int_identity__previous_ids")
    with pair.spark.warehouse() as warehouse:
        assert sorted(warehouse.rows(f"select * from {registry}")) == before
        assert before


def test_what_a_killed_statement_left_is_no_hindrance(pair: Pair) -> None:
    folder = pair.cluster.storage / "profile" / "customer_redirects__next"
    folder.mkdir()
    (folder / "part-0.parquet").write_text("half")
    with pair.spark.warehouse() as warehouse:
        warehouse.clear_leftovers(["profile"])
        assert warehouse.rows("select count(*) from profile.customers")[0][0] > 0
    assert not folder.exists()
    pair.spark.dbt(BUILDS[-1], "run", "--select", "customer_redirects")
    assert all(each.is_equal for each in pair.compare({"profile.customer_redirects"}))


def test_a_loop_that_does_not_converge_fails_and_cleans_its_tables(pair: Pair) -> None:
    with pair.spark.warehouse() as warehouse:
        assert isinstance(warehouse, SparkWarehouse)
        warehouse.ensure_table("identity_scratch", "left_by_a_failed_run", {"a": "bigint"})
    command = pair.spark.dbt_command(
        BUILDS[-1],
        "run",
        "--select",
        "identity_components",
        "--full-refresh",
        identity_max_rounds=1,
    )
    ended = subprocess.run(
        command,
        cwd=PROJECT,
        env=pair.spark.environment(BUILDS[-1]),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode != 0
    assert re.search("did not converge|did not reach their roots", ended.stdout), ended.stdout
    with pair.spark.warehouse() as warehouse:
        assert warehouse.rows("show schemas like 'identity_scratch'") == []
    assert all(each.is_equal for each in pair.compare({"identity.identity_components"}))


def test_a_preview_says_the_same_and_leaves_nothing_on_the_cluster(pair: Pair) -> None:
    """By a day on which many cookies have expired: customers are taken apart without an edit."""
    later = date(2028, 6, 1)
    with pair.spark.warehouse() as warehouse:
        before = sorted(warehouse.rows("show schemas"))
    told = [
        json.loads(side.cdp(later, "plan", "--identity", "--json"))
        for side in (pair.duck, pair.spark)
    ]
    assert told[0] == told[1]
    counts = told[0]["counts"]
    assert counts["customers_before"] > counts["customers_after"] > 0 and counts["retire"] > 0
    with pair.spark.warehouse() as warehouse:
        assert sorted(warehouse.rows("show schemas")) == before
    assert [path for path in pair.cluster.storage.iterdir() if "preview" in path.name] == []
    assert all(each.is_equal for each in pair.compare({"identity.identity_components"}))


def test_history_saved_on_spark_is_put_back_there_and_on_duckdb(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    pair.spark.cdp(BUILDS[-1], "backup", str(file))
    with pair.spark.warehouse() as warehouse:
        for table in HISTORY[1:-1]:
            warehouse.replace(*table, pa.table({}))
    told = pair.spark.cdp(BUILDS[-1], "restore", str(file))
    assert f"Restored {len(HISTORY)} tables" in told
    duck = Side(make_home(tmp_path / "duck"), {"CDP_TARGET": "duckdb"})
    shutil.copy(pair.spark.home.secrets_file, duck.home.secrets_file)
    duck.cdp(BUILDS[-1], "restore", str(file))
    for side in (pair.spark, duck):
        with pair.duck.warehouse() as left, side.warehouse() as right:
            compared = compare_warehouses(left, right, HISTORY)
        assert [each.table for each in compared if not each.is_equal] == [], shown(compared)
        assert all(each.left_rows for each in compared)
    # The tables are still dbt's.
    pair.spark.dbt(BUILDS[-1], "run", "--select", "int_identity__previous_ids+1")


def test_a_moved_home_builds_the_same_people_in_schemas_of_its_prefix(
    pair: Pair, tmp_path: Path
) -> None:
    """From DuckDB to Spark: no id changes and no event is told anew."""
    prefix = {"CDP_SCHEMA_PREFIX": "moved_"}
    where = {name: value for name, value in pair.spark.settings.items() if name != "CDP_TARGET"}
    old = Side(pair.duck.home, {**pair.duck.settings, **where, **prefix})
    new = Side(Home(tmp_path / "moved"), {**pair.spark.settings, **prefix})
    old.cdp(BUILDS[-1], "move", str(new.home.root), "--to", "spark")
    new.dbt(BUILDS[-1], "build", "--select", "+customers", "+identity_redirects", *ALL_MODELS)
    tables = [
        *(("identity", name) for name in ("identity_redirects", "identity_map", "identity_events")),
        ("profile", "customers"),
    ]
    with pair.duck.warehouse() as left, new.warehouse() as right:
        compared = compare_warehouses(left, right, tables)
        assert right.place("profile", "customers") == "`moved_profile`.`customers`"
    assert [each.table for each in compared if not each.is_equal] == [], shown(compared)
    assert (new.home.state / "activation.sqlite").exists(), "the ledger comes along"
    back = Side(Home(tmp_path / "back"), {"CDP_TARGET": "duckdb"})
    new.cdp(BUILDS[-1], "move", str(back.home.root), "--to", "duckdb")
    with new.warehouse() as left, back.warehouse() as right:
        compared = compare_warehouses(left, right, MOVED)
    assert [each.table for each in compared if not each.is_equal] == [], shown(compared)
    # A small sample may have no rejected row.
    assert all(each.left_rows for each in compared if not each.table.endswith("__rejected"))
    assert "another home's" in refused_move(old, tmp_path / "again"), "its warehouse is taken"


def test_nothing_is_moved_onto_rows_of_a_move_that_was_cut_short(
    pair: Pair, tmp_path: Path
) -> None:
    prefix = {"CDP_SCHEMA_PREFIX": "half_"}
    where = {name: value for name, value in pair.spark.settings.items() if name != "CDP_TARGET"}
    old = Side(pair.duck.home, {**pair.duck.settings, **where, **prefix})
    half = Side(Home(tmp_path / "half"), {**pair.spark.settings, **prefix})
    with half.warehouse() as warehouse:
        warehouse.ensure_table("raw_web", "events", {"messageId": "varchar"})
        warehouse.append("raw_web", "events", pa.table({"messageId": ["a"]}))
    assert "holds rows already" in refused_move(old, tmp_path / "again")


def refused_move(old: Side, folder: Path) -> str:
    """What a move to Spark says that must not be."""
    ended = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "move", str(folder), "--to", "spark"],
        env=old.environment(BUILDS[-1]),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr


# Text that people and machines send, at its worst; every letter besides.
HOSTILE = [
    *("1990", "1990-05", "1990/05/01", "1990-05-01abc", "1990-05-01", "1990-05-01T10:00:00Z"),
    *("1990-02-30", "1_000", "1,000", "1e3", "-.5", "12.34565", "-12.34565", "1e30", "+7.", "0x1"),
    "",
    " ",
    "\u3000 Ａｄａ　Ｌｏｖｅｌａｃｅ \u00a0",
    "İstanbul ΑΣ ΣΑΣ",
    "straße ŉ ﬁ",
    'O\'Brien \\ "x"',
    "a\tb\r\nc\x0bd\x0c",
    "\u200fعلي‌رضا\u200e",
    "كاظمي ی",
    "Nguyễn",
    "Nguye\u0302\u0303n",
    "👩‍👧 ok",
    "+84 (0)91-234 56 78",
    "００４４（０）７７００９００１２３",
    "17850.0",
    "17850.00\n",
    "1.0.0",
    "Product  Viewed!!",
    "__x__",
    "％_\\d",
    "null",
    "\ufeffa@b.c",
    "A@B．ＣＯＭ ",
]
TEXT_MACROS = {
    "trimmed": "trimmed('text')",
    "lowered": "lower_case('text')",
    "upper": "upper_code('text')",
    "email": "normalise_email('text')",
    "name": "normalise_name('text')",
    "folded": "fold_name('text')",
    "code": "normalise_code('text')",
    "number": "normalise_number_text('text')",
    "phone": "phone_digits('text')",
    "activity": "snake_case('text')",
    "node_key": "md5_bigint('text')",
    "json": "json_object([['a', 'text']])",
    "read": "json_text('document', 'a.b')",
    "date": "typed('text', 'date')",
    "decimal": "typed('text', 'decimal(18,4)')",
    "part": 'dbt.split_part("text", "\'@\'", 2)',
}


def letters() -> list[str]:
    """Every character of the basic plane that Unicode 3.2 had: engines learn newer ones in time."""
    known = unicodedata.ucd_3_2_0
    return [
        f"x{chr(code)}y"
        for code in range(1, 0xFFFE)
        if known.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]


def test_text_is_spelled_alike_on_both_engines(pair: Pair) -> None:
    texts = [*HOSTILE, *letters()]
    chance = random.Random(3)
    values: list[Any] = [*texts, None, True, 0, -7, 2**62, {"c": [1, "x"]}, [], 901234567.0, 1e22]
    values += [round(chance.uniform(-2e7, 2e7), places) for places in range(9) for _ in range(200)]
    values += [chance.random() * 10.0**power for power in range(-9, 12) for _ in range(50)]
    # As landing writes them.
    documents = [canonical_json(json.dumps({"a": {"b": value}})) for value in values]
    texts += [str(value) for value in values[len(texts) :]]
    rows = pa.table({"number": range(len(texts)), "text": texts, "document": documents})
    listed = ", ".join(f"{{{{ {macro} }}}} as {name}" for name, macro in TEXT_MACROS.items())
    inline = f"select number as place, {listed} from texts"
    found = []
    for side in (pair.duck, pair.spark):
        told = side.dbt(BUILDS[-1], "compile", "--inline", inline, "--output", "json")
        compiled = json.loads(told[told.index("{") :])["compiled"]
        with side.warehouse() as warehouse, warehouse.visiting("texts", rows):
            found.append(warehouse.query(compiled).sort_by("place").to_pylist())
    different = [
        (texts[one["place"]], name, one[name], other[name])
        for one, other in zip(*found, strict=True)
        for name in one
        if one[name] != other[name]
    ]
    assert different == [], f"{len(different)} differ: {different[:20]}"


def test_another_order_of_ties_turns_the_comparison_red(pair: Pair, tmp_path: Path) -> None:
    """Last of all: it leaves orders on Spark that are numbered another way."""
    project = tmp_path / "project"
    for part in ("models", "macros", "seeds", "tests/data_tests"):
        shutil.copytree(PROJECT / part, project / part)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project / name)
    model = project / "models/profile/orders.sql"
    fault = model.read_text().replace("nulls last, order_id asc", "nulls last, order_id desc")
    assert fault != model.read_text()
    model.write_text(fault)
    assert all(each.is_equal for each in pair.compare({"profile.orders"}))
    pair.spark.dbt(BUILDS[-1], "run", "--select", "orders", project=project)
    (found,) = pair.compare({"profile.orders"})
    if not invoice_files() and not found.differences:
        skip_or_fail(f"no two orders of a customer share their time; {NO_INVOICES}")
    assert found.differences > 0, "no two orders of a customer share their time: nothing was tested"
    assert any("order_number" in example for example in found.examples)
