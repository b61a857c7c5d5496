"""The Spark side of the warehouse interface: rows as files, transactions that survive a kill."""

import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import skip_or_fail
from support import AS_OF, PROJECT, environment_of, kept_environment, make_home, put, silent

from orchestration.errors import CdpError, MissingSetting
from orchestration.landing import land, load_declarations
from orchestration.landing.store import ensure_tables
from orchestration.warehouse.base import Warehouse
from orchestration.warehouse.cluster import ClusterSettings, LocalCluster, free_ports, java_command
from orchestration.warehouse.connect import engine_of, open_warehouse
from orchestration.warehouse.duckdb import DuckDbWarehouse
from orchestration.warehouse.spark import SparkWarehouse

COLUMNS = {
    "name": "varchar",
    "number": "bigint",
    "amount": "decimal(18, 4)",
    "share": "double",
    "is_good": "boolean",
    "day": "date",
    "at": "timestamp",
    "order": "varchar",
}
ROWS: list[dict[str, Any]] = [
    {
        "name": 'O\'Brien \\ "quoted"\n…',
        "number": 2**60,
        "amount": Decimal("-1234567.8901"),
        "share": 0.1,
        "is_good": True,
        "day": date(1900, 1, 1),
        "at": datetime(2026, 11, 1, 23, 59, 59, 123456),
        "order": "`back`",
    },
    {"name": "یاسر 👩‍👧 Nguyễn", "number": -1, "is_good": False, "at": datetime(1969, 12, 31)},
    {"name": None},
]


RATE = {"currency": "EUR", "rate_date": "2026-10-01", "rate": "0.8"}


def rows_of(*rows: Mapping[str, Any]) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def names(*values: str) -> pa.Table:
    return pa.table({"name": list(values)})


@pytest.fixture
def spark(cluster: LocalCluster) -> Iterator[SparkWarehouse]:
    """A session with a prefix of its own; what it made is dropped after the test."""
    prefix = f"t{uuid.uuid4().hex[:8]}_"
    with connect(cluster, prefix) as warehouse:
        yield warehouse
        for (schema,) in warehouse.rows(f"show schemas like '{prefix}*'"):
            warehouse.execute(f"drop schema {schema} cascade")


def connect(cluster: LocalCluster, prefix: str) -> SparkWarehouse:
    return SparkWarehouse("127.0.0.1", cluster.settings.port, cluster.storage_uri, prefix)


@pytest.fixture(params=["duckdb", "spark"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """Either side of the interface, to hold both to the same promises."""
    if request.param == "spark":
        yield request.getfixturevalue("spark")
        return
    with DuckDbWarehouse(tmp_path / "warehouse.duckdb") as opened:
        yield opened


def names_in(warehouse: Warehouse, table: str = "people") -> list[str]:
    place = warehouse.place("raw_test", table)
    return sorted(row[0] for row in warehouse.rows(f"select name from {place}"))


def test_rows_come_back_as_they_went_in(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.ensure_table("raw_test", "people", COLUMNS)
    warehouse.append("raw_test", "people", rows_of(*ROWS))
    query = f"select * from {warehouse.place('raw_test', 'people')}"
    path = tmp_path / "people.parquet"
    warehouse.export_parquet(query, path)
    expected = sorted((tuple(row.get(name) for name in COLUMNS) for row in ROWS), key=repr)
    assert sorted(warehouse.rows(query), key=repr) == expected
    exported = pq.read_table(path)
    assert sorted((tuple(row.values()) for row in exported.to_pylist()), key=repr) == expected
    assert exported.schema.field("at").type == pa.timestamp("us")
    assert exported.schema.field("amount").type == pa.decimal128(18, 4)
    answered = warehouse.query(query)
    at = answered["at"].cast(pa.timestamp("us", "UTC")).to_pylist()
    assert ROWS[0]["at"].replace(tzinfo=UTC) in at
    batches = list(warehouse.batches(query, 2))
    assert sum(batch.num_rows for batch in batches) == 3
    assert max(batch.num_rows for batch in batches) <= 2


def test_parameters_are_values_and_nothing_else(warehouse: Warehouse) -> None:
    warehouse.ensure_table("raw_test", "people", {"name": "varchar"})
    hostile = ["' or 1 = 1 --", "\\' or true --", "a\\", '"', "100%", "where?"]
    warehouse.append("raw_test", "people", names(*hostile))
    place = warehouse.place("raw_test", "people")
    for text in hostile:
        found = warehouse.rows(f"select name from {place} where name = ?", [text])
        assert found == [(text,)]
    assert warehouse.rows(f"select name from {place} where name = ? and 1 = ?", ["a\\", 2]) == []


def test_a_table_gains_columns_and_loses_nothing(warehouse: Warehouse) -> None:
    assert warehouse.columns("raw_test", "people") == {}
    warehouse.ensure_table("raw_test", "people", {"name": "varchar"})
    warehouse.append("raw_test", "people", names("a"))
    warehouse.ensure_table("raw_test", "people", {"name": "varchar", "Age": "bigint"})
    warehouse.append("raw_test", "people", pa.table({"Age": [5], "name": ["b"]}))
    assert list(warehouse.columns("raw_test", "people")) == ["name", "Age"]
    place = warehouse.place("raw_test", "people")
    assert sorted(warehouse.rows(f"select * from {place}")) == [("a", None), ("b", 5)]


def test_a_transaction_is_all_or_nothing(warehouse: Warehouse) -> None:
    for table in ("people", "books"):
        warehouse.ensure_table("raw_test", table, {"name": "varchar"})
    warehouse.append("raw_test", "books", names("old"))
    with pytest.raises(ZeroDivisionError), warehouse.transaction():
        warehouse.append("raw_test", "people", names("a"))
        warehouse.replace("raw_test", "books", names("new"))
        assert names_in(warehouse) == ["a"], "rows of a transaction are seen within it"
        raise ZeroDivisionError
    assert (names_in(warehouse), names_in(warehouse, "books")) == ([], ["old"])
    with warehouse.transaction():
        warehouse.append("raw_test", "people", names("b"))
        warehouse.replace("raw_test", "books", names("new", "newer"))
    assert (names_in(warehouse), names_in(warehouse, "books")) == (["b"], ["new", "newer"])
    warehouse.replace("raw_test", "books", names("only"))
    assert names_in(warehouse, "books") == ["only"]
    warehouse.replace("raw_test", "books", names("none").slice(1))
    assert names_in(warehouse, "books") == []


def test_visiting_rows_are_there_for_a_block(warehouse: Warehouse) -> None:
    with warehouse.visiting("visitors", names("a", "b")):
        assert sorted(warehouse.query("select name from visitors")["name"].to_pylist()) == [
            "a",
            "b",
        ]
    with pytest.raises(Exception, match="visitors"):
        warehouse.query("select name from visitors")


class Killed(BaseException):
    """Stands for a kill: nothing of the process's own may run after it."""


def die_at(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """The next call of a method of the Spark side does not come back, nor does its clean-up."""

    def killed(*_: object) -> None:
        for name in ("_undo", "_end"):
            monkeypatch.setattr(SparkWarehouse, name, lambda *_: None)
        raise Killed

    monkeypatch.setattr(SparkWarehouse, method, killed)


@pytest.mark.parametrize(
    ("died_at", "people", "books"),
    [
        # Before its commit a transaction never was; after it, it is finished.
        ("_put_in_place", ["a", "b"], ["new"]),
        ("_place_of", ["a", "b"], ["new"]),
        ("replace", ["a"], ["old"]),
    ],
)
def test_a_killed_transaction_is_undone_or_finished(
    cluster: LocalCluster,
    spark: SparkWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    died_at: str,
    people: list[str],
    books: list[str],
) -> None:
    for table in ("people", "books"):
        spark.ensure_table("raw_test", table, {"name": "varchar"})
    with spark.transaction():
        spark.append("raw_test", "people", names("a"))
        spark.replace("raw_test", "books", names("old"))
    with monkeypatch.context() as patched, pytest.raises(Killed):
        die_at(patched, died_at)
        with spark.transaction():
            spark.append("raw_test", "people", names("b"))
            spark.replace("raw_test", "books", names("new"))
    with connect(cluster, spark.prefix) as later:
        for _ in range(2):
            later.recover()
            assert (names_in(later), names_in(later, "books")) == (people, books)
        assert later._listed(f"{spark.prefix}_transactions") == []


def test_nobody_undoes_what_another_installation_of_the_storage_does(
    cluster: LocalCluster, spark: SparkWarehouse
) -> None:
    spark.ensure_table("raw_test", "people", {"name": "varchar"})
    with spark.transaction():
        spark.append("raw_test", "people", names("a"))
        with connect(cluster, "other_") as other, connect(cluster, "") as unprefixed:
            other.recover()
            unprefixed.recover()
    assert names_in(spark) == ["a"]


def test_a_replacement_killed_between_removing_and_moving_is_finished(
    cluster: LocalCluster, spark: SparkWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    spark.ensure_table("raw_test", "books", {"name": "varchar"})
    spark.append("raw_test", "books", names("old"))

    class Dying:
        """A storage whose last move never comes."""

        def __getattr__(self, name: str) -> Any:
            return getattr(files, name)

        def move(self, source: str, target: str) -> None:
            raise Killed

    def put_in_place(warehouse: SparkWarehouse, replacements: Mapping[str, str]) -> None:
        patched.setattr(warehouse, "files", Dying())
        original(warehouse, replacements)

    files, original = spark.files, SparkWarehouse._put_in_place
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(SparkWarehouse, "_put_in_place", put_in_place)
        spark.replace("raw_test", "books", names("new"))
    with connect(cluster, spark.prefix) as later:
        later.recover()
        assert names_in(later, "books") == ["new"]


def test_a_transaction_replaces_a_table_by_its_last_word(spark: SparkWarehouse) -> None:
    spark.ensure_table("raw_test", "books", {"name": "varchar"})
    with spark.transaction():
        spark.replace("raw_test", "books", names("a"))
        spark.replace("raw_test", "books", names("b"))
        assert names_in(spark, "books") == []
    assert names_in(spark, "books") == ["b"]


def test_columns_are_matched_in_any_case_and_none_is_lost(warehouse: Warehouse) -> None:
    warehouse.ensure_table("raw_test", "people", {"Name": "varchar"})
    warehouse.ensure_table("raw_test", "people", {"name": "varchar"})
    warehouse.append("raw_test", "people", names("a"))
    assert names_in(warehouse) == ["a"]
    with pytest.raises(Exception, match=r"(?i)age"):
        warehouse.append("raw_test", "people", pa.table({"name": ["b"], "age": [1]}))
    assert names_in(warehouse) == ["a"]


def test_a_warehouse_of_another_home_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}_"
    homes = [make_home(tmp_path / name) for name in ("ours", "theirs")]
    put(homes[0], "fx/rates", "rates.csv", [RATE])
    with kept_environment(**cluster.environment, CDP_SCHEMA_PREFIX=prefix):
        declarations = {"fx": load_declarations(PROJECT)["fx"]}
        with open_warehouse(homes[0]) as warehouse:
            land(homes[0], warehouse, declarations, AS_OF, silent)
        with open_warehouse(homes[0]) as warehouse:
            place = warehouse.place("raw_fx", "rates")
            assert warehouse.rows(f"select count(*) from {place}") == [(1,)]
        with pytest.raises(CdpError, match="another home's"):
            open_warehouse(homes[1])
    with (
        kept_environment(**cluster.environment, CDP_SCHEMA_PREFIX=f"no_{prefix}"),
        pytest.raises(CdpError, match="there is none where it looks"),
    ):
        open_warehouse(homes[0])
    with connect(cluster, prefix) as warehouse:
        for schema in ("raw_fx", "raw_landing", "raw_cdp"):
            warehouse.execute(f"drop schema {prefix}{schema} cascade")


def test_a_home_that_has_a_duckdb_file_is_a_duckdb_home(tmp_path: Path) -> None:
    """Homes from before the engine was noted."""
    home = make_home(tmp_path / "home")
    home.warehouse.touch()
    with kept_environment(CDP_TARGET="spark"), pytest.raises(CdpError, match="is on duckdb"):
        engine_of(home)
    assert not (home.state / "engine").exists()


def test_folders_that_alone_may_hold_rows_are_left(spark: SparkWarehouse) -> None:
    """A catalog that was lost or is another one must not cost a table its rows."""
    spark.ensure_table("identity", "identity_map", {"name": "varchar"})
    for table in ("identity_registry", "identity_registry__next", "identity_map"):
        spark.files.create_dir(f"{spark.root}/{spark.prefix}identity/{table}")
        spark.files.create_dir(f"{spark.root}/{spark.prefix}lost/{table}")
    spark.clear_leftovers(["identity", "lost"])
    for name, known, folder in (
        # The catalog says the next state, the rows are where it was to go; and the reverse.
        ("moved_first", "identity_events__next", "identity_events"),
        ("told_first", "identity_events", "identity_events__next"),
    ):
        spark.ensure_table(name, known, {"name": "varchar"})
        spark.files.delete_dir(f"{spark.root}/{spark.prefix}{name}/{known}")
        spark.files.create_dir(f"{spark.root}/{spark.prefix}{name}/{folder}")
        with pytest.raises(CdpError, match=rf"Move that folder to \S+{name}/{known} "):
            spark.clear_leftovers([name])
    left = {
        schema: sorted(info.base_name for info in spark._listed(spark.prefix + schema))
        for schema in ("identity", "lost")
    }
    assert left["identity"] == ["identity_map", "identity_registry"]
    assert len(left["lost"]) == 3, "the catalog knows nothing of this schema"


def test_a_landing_in_a_schema_of_another_tool_works_on_spark(
    cluster: LocalCluster, spark: SparkWarehouse, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    folder = project / "models/staging/shop"
    folder.mkdir(parents=True)
    (folder / "_shop__sources.yml").write_text(
        """
version: 2
sources:
  - name: shop
    schema: raw_shop
    tables:
      - name: order
        config: {meta: {key: [id], version: [updated_at]}}
        columns:
          - {name: id, data_type: string, config: {meta: {required: true}}}
          - {name: total, data_type: "decimal(18,4)"}
          - {name: updated_at, data_type: timestamp}
"""
    )
    home = make_home(tmp_path / "home")
    tool = f"tool_{uuid.uuid4().hex[:8]}"
    (home.root / "sources.yml").write_text(f"shop: {{mode: schema, schema: {tool}}}\n")
    declarations = load_declarations(project, home.root)
    # The tool knows nothing of our prefix.
    spark.execute(f"create schema {tool}")
    spark.execute(f"create table {tool}.order (id string, total double, updated_at timestamp)")

    def tool_writes(*rows: str) -> None:
        spark.execute(f"insert into {tool}.order values {', '.join(rows)}")

    def landed() -> list[tuple[int, int]]:
        with kept_environment():
            report = land(home, spark, declarations, AS_OF, silent)
        return [(file.loaded, file.rejected) for result in report for file in result.files]

    tool_writes(
        "('1', 9.5, timestamp '2026-10-01 12:30:00')", "(null, 1.0, timestamp '2026-10-01')"
    )
    assert landed() == [(1, 1)]
    assert landed() == []
    tool_writes("('2', 3.0, timestamp '2026-10-02')")
    assert landed() == [(1, 0)]
    place = spark.place("raw_shop", "order")
    assert sorted(spark.rows(f"select id, total, updated_at from {place}")) == [
        ("1", Decimal("9.5000"), datetime(2026, 10, 1, 12, 30)),
        ("2", Decimal("3.0000"), datetime(2026, 10, 2)),
    ]
    spark.execute(f"drop schema {tool} cascade")


def test_the_salt_is_made_once(spark: SparkWarehouse) -> None:
    salts = []
    for _ in range(2):
        ensure_tables(spark, {})
        salts.append(spark.rows(f"select salt from {spark.place('raw_cdp', 'installation')}"))
    assert salts[0] == salts[1]
    assert len(salts[0]) == 1


def test_spark_says_what_is_wrong_with_a_statement(spark: SparkWarehouse) -> None:
    with pytest.raises(CdpError, match="TABLE_OR_VIEW_NOT_FOUND") as raised:
        spark.rows("select * from nowhere.nothing")
    assert "\tat " not in str(raised.value)


def test_a_server_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with pytest.raises(CdpError, match=rf"127\.0\.0\.1:{port}.*cdp spark up"):
        SparkWarehouse("127.0.0.1", port, tmp_path.as_uri())


def test_settings_that_are_missing_or_wrong_are_named(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    with kept_environment(CDP_TARGET="oracle"), pytest.raises(CdpError, match="duckdb, spark"):
        open_warehouse(home)
    with (
        kept_environment(CDP_TARGET="spark", CDP_SPARK_STORAGE=""),
        pytest.raises(MissingSetting, match="CDP_SPARK_STORAGE"),
    ):
        open_warehouse(home)
    for wrong in ({"CDP_SPARK_PORT": "x"}, {"CDP_SPARK_WORKER_MEMORY": "much"}):
        with pytest.raises(CdpError, match=next(iter(wrong))):
            ClusterSettings.from_environment(wrong)
    chosen = ClusterSettings.from_environment({"CDP_SPARK_WORKERS": "3"})
    assert (chosen.workers, chosen.port) == (3, 10_000)
    with pytest.raises(CdpError, match="CDP_SPARK_STORAGE"):
        SparkWarehouse("127.0.0.1", 1, "no such thing")


def test_a_home_keeps_its_engine(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    assert engine_of(home) == "duckdb"
    with (
        kept_environment(CDP_TARGET="spark"),
        pytest.raises(CdpError, match=r"is on duckdb.*docs/scaling\.md"),
    ):
        engine_of(home)


def test_no_java_is_told_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CdpError, match=r"apt-get install openjdk-17-jre-headless"):
        java_command({"JAVA_HOME": str(tmp_path)})
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    with pytest.raises(CdpError, match=r"is Java 11\. Spark needs Java 17"):
        java_command({"JAVA_HOME": str(tmp_path)})


def test_a_command_runs_on_a_cluster_that_is_gone_after_it(tmp_path: Path) -> None:
    try:
        java_command()
    except CdpError as error:
        skip_or_fail(str(error))
    home = make_home(tmp_path / "home")
    port, master_port, ui_port = free_ports(3)
    ended = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "spark", "run", "doctor", "--json"],
        cwd=PROJECT,
        env={
            **environment_of(home),
            "CDP_SPARK_PORT": str(port),
            "CDP_SPARK_MASTER_PORT": str(master_port),
            "CDP_SPARK_UI_PORT": str(ui_port),
            "CDP_SPARK_WORKERS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    findings = {finding["what"]: finding for finding in json.loads(ended.stdout)}
    assert findings["engine"]["state"] == "ok", ended.stderr
    assert findings["engine"]["found"].startswith(f"spark on 127.0.0.1:{port}")
    assert "starting worker-1" in ended.stderr
    assert "worker-2" not in ended.stderr
    for each in (port, master_port, ui_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", each)) != 0, f"port {each} is still held"


def test_a_taken_port_is_told(cluster: LocalCluster, tmp_path: Path) -> None:
    second = LocalCluster(tmp_path / "cluster", tmp_path / "storage", cluster.settings)
    with pytest.raises(CdpError, match=r"is taken.*CDP_SPARK_PORT"):
        second.start()
    assert second.processes == {}
