"""How a table takes its next state on Spark, by what its format can do.

Delta and Iceberg are not run here, since their jars come from elsewhere: what they would be
told is compiled and read, and Spark's own parser judges the merge where a cluster runs.
"""

import re
from collections.abc import Sequence

import pytest
from support import AS_OF, Dbt

from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.warehouse.cluster import LocalCluster
from orchestration.warehouse.spark import SparkWarehouse

MERGE = (
    "{{ merge_statement('identity.identity_map', 'select * from next_map', "
    "['node_key', 'valid_from'], ['node_key', 'valid_from', 'valid_to']) }}"
)


def compiled(dbt: Dbt, home: Home, inline: str, options: Sequence[str] = ()) -> str:
    """What dbt makes of a piece of SQL."""
    ended = dbt.invoke(home, AS_OF, ["compile", "--inline", inline, *options])
    code: str = ended.result.results[0].node.compiled_code
    return code.strip()


@pytest.mark.parametrize(
    ("file_format", "unique_key", "existing", "strategy"),
    [
        ("delta", True, "delta", "merge"),
        ("iceberg", True, "iceberg", "merge"),
        ("delta", True, None, "replace"),
        ("iceberg", False, "iceberg", "replace"),
        # As `cdp move` and another CDP_SPARK_FORMAT leave it.
        ("delta", True, "parquet", "swap"),
        ("iceberg", False, "delta", "swap"),
        ("parquet", True, "parquet", "swap"),
        ("parquet", False, None, "swap"),
        ("parquet", True, "delta", "swap"),
    ],
)
def test_a_strategy_is_chosen_by_what_the_format_can_do(
    dbt: Dbt,
    empty_home: Home,
    file_format: str,
    unique_key: bool,
    existing: str | None,
    strategy: str,
) -> None:
    key = "['customer_id']" if unique_key else "none"
    now = f"'{existing}'" if existing else "none"
    inline = f"{{{{ table_strategy('{file_format}', {key}, {now}) }}}}"
    assert compiled(dbt, empty_home, inline) == strategy


def test_a_format_that_nobody_knows_is_refused(
    dbt: Dbt, empty_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CdpError):
        compiled(dbt, empty_home, "{{ table_strategy('csv', none, none) }}")
    assert "CDP_SPARK_FORMAT is csv; choose delta, iceberg or parquet" in capsys.readouterr().out


def test_a_merge_rewrites_what_differs_and_deletes_what_is_gone(dbt: Dbt, empty_home: Home) -> None:
    told = re.sub(r"\s+", " ", compiled(dbt, empty_home, MERGE))
    assert told == (
        "merge into identity.identity_map as target using ( select * from next_map ) as source "
        "on target.node_key <=> source.node_key and target.valid_from <=> source.valid_from "
        "when matched and not (target.node_key <=> source.node_key and "
        "target.valid_from <=> source.valid_from and target.valid_to <=> source.valid_to ) "
        "then update set * when not matched then insert * when not matched by source then delete"
    )


def test_every_history_table_has_the_key_that_a_merge_needs(manifest: dict[str, object]) -> None:
    nodes = manifest["nodes"]
    assert isinstance(nodes, dict)
    history = {
        node["name"]: node["config"]["unique_key"]
        for node in nodes.values()
        if node["resource_type"] == "model" and node["config"]["full_refresh"] is False
    }
    assert len(history) >= 5
    for name, key in history.items():
        assert key, f"{name} survives a full refresh and has no unique_key"
        columns = next(node["columns"] for node in nodes.values() if node["name"] == name)
        assert set(key) <= set(columns), name


def test_spark_can_read_the_merge(dbt: Dbt, empty_home: Home, cluster: LocalCluster) -> None:
    statement = compiled(dbt, empty_home, MERGE)
    with SparkWarehouse(
        "127.0.0.1", cluster.settings.port, cluster.storage_uri, "merge_"
    ) as warehouse:
        kinds = {"node_key": "bigint", "valid_from": "timestamp", "valid_to": "timestamp"}
        for table in ("identity_map", "next_map"):
            warehouse.ensure_table("identity", table, kinds)
        statement = statement.replace("identity.identity_map", "merge_identity.identity_map")
        statement = statement.replace("next_map", "merge_identity.next_map")
        # Parquet has no merge: Spark has parsed and resolved the statement when it says so.
        with pytest.raises(CdpError, match="MERGE") as raised:
            warehouse.execute(statement)
        assert "PARSE_SYNTAX_ERROR" not in str(raised.value)
        warehouse.execute("drop schema merge_identity cascade")
