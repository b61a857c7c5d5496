"""Privacy requests where the warehouse is on a cluster: what is read, what goes back, a kill."""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from support import (
    AS_OF,
    KILLED_ERASURE,
    PROJECT,
    Dbt,
    account,
    consent,
    environment_of,
    event,
    kept_environment,
    make_home,
    put,
    silent,
)

from orchestration.build_state import end_build
from orchestration.home import Home
from orchestration.landing.declarations import load_declarations
from orchestration.privacy.access import access
from orchestration.privacy.engines import LOOKED_UP
from orchestration.privacy.erase import Erased, NobodyKnown, erase
from orchestration.privacy.requests import Requests
from orchestration.warehouse.base import quoted
from orchestration.warehouse.cluster import LocalCluster
from orchestration.warehouse.connect import open_warehouse
from orchestration.warehouse.history import copy_table
from orchestration.warehouse.move import move_home
from orchestration.warehouse.spark import SparkWarehouse

SELECT = ("+identity_redirects", "+record_customers", "+contact_permissions")
AT = "2026-10-20 10:00:00"
MONA, OLAF, ACCOUNT = "mona.lind@post.example", "olaf@post.example", "7700000000031"
# Made by a build: what names her in them must go with them.
MODEL = ("profile", "contact_permissions")


@dataclass(frozen=True)
class Clustered:
    """A home whose warehouse is on the cluster, in schemas of its prefix."""

    home: Home
    settings: dict[str, str]
    storage: Path
    customer_id: str

    def open(self) -> SparkWarehouse:
        opened = open_warehouse(self.home)
        assert isinstance(opened, SparkWarehouse)
        return opened

    def texts(self) -> str:
        """All that stands in the files of this installation's tables."""
        found = []
        for path in self.storage.glob(f"{self.settings['CDP_SCHEMA_PREFIX']}*/**/*.parquet"):
            found.append(str(pq.ParquetFile(path).read().to_pylist()).lower())
        return "\n".join(found)


def put_company(home: Home) -> None:
    accounts = [
        account(ACCOUNT, AT, email=MONA, first_name="Mona"),
        account("7700000000048", AT, email=OLAF, first_name="Olaf"),
    ]
    put(home, "shopify/customer", "accounts.csv", accounts)
    answers = [
        consent("mona", MONA.upper(), "subscribed", AT),
        consent("olaf", OLAF, "subscribed", AT),
        # Rejected: she stands in the rejected row's text.
        consent("bad", MONA, "perhaps", AT),
    ]
    put(home, "consent/consent_events", "answers.csv", answers)
    traits = {"email": MONA}
    events = [
        event(1, "identify", AT, anonymousId="mona-browser-01", userId=ACCOUNT, traits=traits),
        event(2, "page", AT, anonymousId="olaf-browser-01", context={"page": {
            "url": f"https://shop.example/?to={MONA}"}}),
    ]  # fmt: skip
    put(home, "web/events", "events.jsonl", events)


@pytest.fixture(scope="module")
def built(dbt: Dbt, manifest_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A company on DuckDB; only for reading."""
    home = make_home(tmp_path_factory.mktemp("privacy") / "home")
    home.dbt_target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(manifest_home.manifest, home.manifest)
    put_company(home)
    dbt.build(home, SELECT)
    end_build(home)
    drop_empty_raw_tables(home)
    return home


def drop_empty_raw_tables(home: Home) -> None:
    """A hundred tables without a row say nothing here, and each costs the cluster statements."""
    with duckdb.connect(str(home.warehouse)) as connection:
        places = connection.execute(
            "select schema_name, table_name from duckdb_tables() "
            "where schema_name like 'raw_%' and estimated_size = 0"
        ).fetchall()
        for schema, table in places:
            connection.execute(f"drop table {quoted(schema)}.{quoted(table)}")


@pytest.fixture
def clustered(cluster: LocalCluster, built: Home, tmp_path: Path) -> Iterator[Clustered]:
    """That company moved to the cluster, with the models that a request looks into."""
    prefix = f"p{uuid.uuid4().hex[:8]}_"
    settings = {**cluster.environment, "CDP_SCHEMA_PREFIX": prefix}
    home = Home(tmp_path / "home")
    with kept_environment(**settings):
        sources = load_declarations(PROJECT, built.root)
        with kept_environment(CDP_TARGET="duckdb"):
            move_home(built, home, "spark", sources, built.manifest)
        home.dbt_target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built.manifest, home.manifest)
        with (
            open_warehouse(built, read_only=True, engine="duckdb") as duck,
            open_warehouse(home) as spark,
        ):
            for place in (*LOOKED_UP, MODEL):
                if not spark.columns(*place):
                    copy_table(duck, spark, *place)
            (customer,) = spark.rows(
                "select distinct customer_id from "
                f"{spark.place('identity', 'identity_map')} where identifier_value = '{MONA}'"
            )
        home.published.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(home.private_file)) as connection:
            connection.execute("create schema profile")
            connection.execute(
                f"create table profile.customers as select '{customer[0]}' as customer_id, "
                f"'{MONA}' as email"
            )
        storage = Path(cluster.storage_uri.removeprefix("file://"))
        told = Clustered(home, settings, storage, customer[0])
        yield told
        with told.open() as spark:
            spark.drop_all()


def erase_quickly(told: Clustered, identifier: str) -> Erased:
    """An erasure whose build only takes the published file away."""

    def build(*_: Any) -> None:
        told.home.private_file.unlink(missing_ok=True)

    return erase(told.home, identifier, AS_OF, silent, build=build)


def test_what_the_cluster_holds_is_told_and_erased(clustered: Clustered) -> None:
    held = access(clustered.home, MONA.upper()).held
    assert held.customer_ids == [clustered.customer_id]
    assert {"identifier_type": "email", "identifier_value": MONA} in held.identifiers
    assert [row["first_name"] for row in held.raw["raw_shopify.customer"]] == ["Mona"]
    assert len(held.raw["raw_consent.consent_events"]) == 1
    assert len(held.raw["raw_consent.consent_events__rejected"]) == 1
    assert held.named_in == {"raw_web.events": 1}
    assert [row["email"] for row in held.models["profile.customers"]] == [MONA]
    assert OLAF not in str(held.as_dict()), "nobody else's row is told"
    assert not (clustered.home.scratch / "privacy_copy").exists(), "no copy stays"
    with pytest.raises(NobodyKnown):
        erase_quickly(clustered, "nobody@post.example")

    assert MONA in clustered.texts()
    erased = erase_quickly(clustered, MONA)
    assert (erased.request.status, erased.left) == ("finished", 0)
    counted = {each.place: (each.removed, each.changed) for each in erased.counts}
    assert counted["raw_shopify.customer"] == (1, 0)
    assert counted["raw_consent.consent_events"] == (1, 0)
    assert counted["raw_consent.consent_events__rejected"] == (1, 0)
    assert counted["raw_web.events"] == (1, 1)
    texts = clustered.texts()
    assert MONA not in texts and OLAF in texts
    assert not (clustered.home.scratch / "privacy_copy").exists(), "no copy stays"
    with clustered.open() as spark:
        registry = spark.place("identity", "identity_registry")
        query = f"select status, anchor_node_key from {registry} where customer_id = ?"
        assert spark.rows(query, [clustered.customer_id]) == [("retired", None)]
        events = spark.place("identity", "identity_events")
        query = f"select event_type from {events} where customer_id = ? order by event_sequence"
        assert spark.rows(query, [clustered.customer_id]) == [("create",), ("erase",)]
        loads = spark.place("raw_landing", "loads")
        assert spark.rows(f"select sum(suppressed_count) from {loads}") == [(4,)]
        # What a build makes is gone until it makes it; what outlives it stays.
        assert spark.base_tables("profile") == []
        assert "identity_map" in spark.base_tables("identity")
        assert "identifiers" not in spark.base_tables("identity")


def test_an_erasure_killed_beside_the_swap_goes_on(clustered: Clustered) -> None:
    for point in ("erase_before_swap", "erase_after_swap"):
        ended = subprocess.run(
            [sys.executable, "-c", KILLED_ERASURE, str(clustered.home.root), MONA],
            env={
                **environment_of(clustered.home),
                **clustered.settings,
                "CDP_TEST_KILL_AT": point,
                "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
            },
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert (MONA in clustered.texts()) == (point == "erase_before_swap")
    (request,) = Requests(clustered.home).all()
    erased = erase_quickly(clustered, ACCOUNT)
    assert (erased.request.request_id, erased.request.status) == (request.request_id, "finished")
    assert {each.place: each.removed for each in erased.counts}["raw_shopify.customer"] == 1
    assert MONA not in clustered.texts()
    assert not (clustered.home.scratch / "privacy_copy").exists(), "nor one of a killed request"
