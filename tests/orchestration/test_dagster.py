"""What Dagster is told: the assets, their lineage and checks, and when runs start."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from support import AS_OF, PROJECT, kept_environment, put

from orchestration.defs.assemble import assemble
from orchestration.defs.automation import build_job, build_sensor
from orchestration.home import Home
from orchestration.landing import load_declarations
from orchestration.syncs.settings import load_syncs


@pytest.fixture(scope="module")
def definitions(sample_home: Home) -> dg.Definitions:
    """Everything declared, for the sample home."""
    with kept_environment(CDP_AS_OF_DATE=AS_OF.isoformat()):
        return assemble(sample_home)


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> Any:
    return definitions.resolve_asset_graph()


@pytest.fixture(scope="module")
def instance(sample_home: Home) -> Iterator[dg.DagsterInstance]:
    """The sample home's own history."""
    with kept_environment(DAGSTER_HOME=str(sample_home.dagster)), dg.DagsterInstance.get() as told:
        yield told


def keys(graph: Any) -> set[tuple[str, ...]]:
    return {tuple(key.path) for key in graph.get_all_asset_keys()}


def test_the_definitions_load_and_can_run(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_every_raw_table_and_its_files_are_assets(graph: Any) -> None:
    declared = {
        (source.name, table.name)
        for source in load_declarations(PROJECT).values()
        for table in source.tables.values()
    }
    assert len(declared) > 12
    assert declared <= keys(graph)
    assert {("files", *pair) for pair in declared} <= keys(graph)


def test_every_model_and_seed_is_an_asset_of_its_layer(
    graph: Any, manifest: dict[str, Any]
) -> None:
    nodes = [
        node for node in manifest["nodes"].values() if node["resource_type"] in {"model", "seed"}
    ]
    assert {(node["schema"], node["name"]) for node in nodes} <= keys(graph)


def test_publishing_the_ledger_and_every_sync_are_assets(graph: Any, sample_home: Home) -> None:
    syncs = load_syncs(sample_home.manifest)
    assert len(syncs) >= 2
    sent = {(sync.meta.destination, sync.name.partition("__")[2]) for sync in syncs}
    assert sent <= keys(graph)
    assert {("published", "private"), ("published", "cdp"), ("published", "ops")} <= keys(graph)


def test_the_group_is_the_layer(graph: Any, manifest: dict[str, Any]) -> None:
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model":
            key = dg.AssetKey([node["schema"], node["name"]])
            assert graph.get(key).group_name == node["schema"]
    groups = {graph.get(key).group_name for key in graph.get_all_asset_keys()}
    nodes = manifest["nodes"].values()
    layers = {node["schema"] for node in nodes if node["resource_type"] == "model"}
    assert groups == {"ingestion", "matching", "publish", "seeds", *layers}


def test_lineage_leads_from_landed_files_to_every_sync(graph: Any, sample_home: Home) -> None:
    for sync in load_syncs(sample_home.manifest):
        goal = dg.AssetKey([sync.meta.destination, sync.name.partition("__")[2]])
        above: set[dg.AssetKey] = set()
        waiting = [goal]
        while waiting:
            for parent in graph.get(waiting.pop()).parent_keys - above:
                above.add(parent)
                waiting.append(parent)
        assert dg.AssetKey(["published", "private"]) in above
        for start in (["files", "consent", "consent_events"], ["files", "shopify", "customer"]):
            assert dg.AssetKey(start) in above, f"{start} does not lead to {goal.to_user_string()}"
    assert len(graph.toposorted_asset_keys) == len(keys(graph)), "the graph has no cycle"


def test_the_job_the_schedule_and_the_sensor_exist(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    job = repository.get_job("daily_build")
    assert len(job.asset_layer.selected_asset_keys) > 100
    schedule = repository.get_schedule_def("daily_run")
    assert schedule.job.name == "daily_build" and schedule.cron_schedule == "0 5 * * *"
    assert repository.get_sensor_def("landed_files").job.name == "daily_build"


def test_the_sensor_asks_for_a_run_only_when_a_file_waits(empty_home: Home) -> None:
    sensor = build_sensor(empty_home, build_job())

    def asked() -> list[str | None]:
        with dg.build_sensor_context() as context:
            found = sensor.evaluate_tick(context)
        return [request.run_key for request in found.run_requests or []]

    with kept_environment(CDP_AS_OF_DATE=AS_OF.isoformat()):
        assert asked() == []
        put(empty_home, "fx/rates", "a.csv", [{"rate_date": "2026-11-01"}])
        first = asked()
        assert len(first) == 1 and first == asked(), "the same files, the same key: one run"
        put(empty_home, "fx/rates", "b.csv", [{"rate_date": "2026-11-02"}])
        assert len(asked()) == 1 and asked() != first


def test_the_finished_run_is_in_the_homes_own_history(
    instance: dg.DagsterInstance, sample_home: Home
) -> None:
    runs = instance.get_runs()
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
    assert runs[0].job_name == "daily_build"
    told = (sample_home.state / "build.json").read_text()
    assert runs[0].run_id in told


def test_the_run_recorded_its_checks_and_none_failed(instance: dg.DagsterInstance) -> None:
    records = instance.get_records_for_run(
        instance.get_runs()[0].run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    checks = [
        record.event_log_entry.dagster_event.asset_check_evaluation_data for record in records
    ]
    names = {(tuple(check.asset_key.path), check.check_name) for check in checks}
    assert len(names) > 100
    assert (("email", "welcome"), "every_planned_change_has_an_end") in names
    assert (("email", "welcome"), "key_is_unique") in names
    assert any(key == ("web", "events") for key, _ in names)
    assert any(key[0] == "profile" for key, _ in names)
    failed = [check for check in checks if not check.passed]
    assert {check.severity for check in failed} <= {dg.AssetCheckSeverity.WARN}


def test_the_runs_log_holds_no_address(sample_home: Home) -> None:
    content = b"".join(
        path.read_bytes()
        for path in Path(sample_home.dagster).rglob("*")
        if path.is_file() and path.stat().st_size < 100_000_000
    )
    assert len(content) > 100_000
    for domain in (b"@example.", b"@post.example", b"@mail.example", b"@firm-"):
        assert domain not in content
