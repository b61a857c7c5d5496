"""Macros without dbt: the same statements, the same errors, and fast enough for many graphs."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from dbt_common.exceptions import CompilationError
from jinja2.utils import Namespace
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orchestration.checks.bare import BareMacros

GRAPHS = 60
SCRATCH = "identity_scratch"


def bare_macros(**variables: object) -> BareMacros:
    bare = BareMacros(duckdb.connect(), variables)
    bare.connection.execute(f"create schema {SCRATCH}")
    return bare


def labels(bare: BareMacros, edges: np.ndarray) -> dict[int, int]:
    bare.connection.execute(f"drop schema {SCRATCH} cascade")
    bare.connection.execute(f"create schema {SCRATCH}")
    bare.connection.execute("create or replace table edges (u bigint, v bigint)")
    if len(edges):
        bare.connection.executemany("insert into edges values (?, ?)", edges.tolist())
    table = bare.call("contract_edges", "graph", bare.relation("edges"), Namespace(rounds=0))
    rows = bare.connection.execute(f"select node_key, component_key from {table}").fetchall()
    found = dict(rows)
    assert len(found) == len(rows), "a node has more than one label"
    return found


def smallest_nodes(edges: np.ndarray) -> dict[int, int]:
    """Each node's component by its smallest node, from a solver that is not ours."""
    nodes, numbers = np.unique(edges, return_inverse=True)
    ends = numbers.reshape(edges.shape).T
    graph = coo_array((np.ones(len(edges)), (ends[0], ends[1])), (len(nodes), len(nodes)))
    _, parts = connected_components(graph, directed=False)
    smallest = {}
    for node, part in zip(nodes.tolist(), parts.tolist(), strict=True):
        smallest.setdefault(part, node)
    return {node: smallest[part] for node, part in zip(nodes.tolist(), parts.tolist(), strict=True)}


def test_the_components_of_random_graphs_are_those_of_another_solver() -> None:
    bare = bare_macros()
    random = np.random.default_rng(7)
    for _ in range(GRAPHS):
        names = np.unique(random.integers(0, 1 << 60, random.integers(2, 60)))
        pairs = random.choice(names, (random.integers(1, 80), 2))
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
        assert labels(bare, pairs) == smallest_nodes(pairs)
    assert bare.seconds == sum(statement.seconds for statement in bare.statements) > 0


def test_a_compiler_error_of_a_macro_surfaces() -> None:
    bare = bare_macros(identity_max_rounds=2)
    path = np.array([[number, number + 1] for number in range(64)])
    with pytest.raises(CompilationError, match="identity_max_rounds"):
        labels(bare, np.random.default_rng(1).permutation(65)[path])


def test_macros_are_dispatched_to_the_engine_and_dbts_own_are_known() -> None:
    bare = bare_macros()
    assert bare.call("trimmed", "name") == "trim(name)"
    assert bare.render('{{ dbt.type_string() }} {{ dbt.escape_single_quotes("it\'s") }}') == (
        "TEXT it''s"
    )


def test_results_and_relations_are_as_in_dbt() -> None:
    bare = bare_macros()
    bare.connection.execute("create table things as select 5 as amount")
    told = bare.render(
        "{% call statement('sum', fetch_result=true) %} select sum(amount) from {{ ref('things') }}"
        "{% endcall %} {{ load_result('sum').table.columns[0].values()[0] }}"
        " {{ adapter.get_relation(target.database, 'main', 'things').identifier }}"
        " {{ adapter.get_relation(none, 'main', 'nothing') }} {{ var('nothing', 'default') }}"
    )
    assert told.split() == ["5", "things", "None", "default"]
    with pytest.raises(CompilationError, match="nothing"):
        bare.render("{{ var('nothing') }}")


def test_a_model_is_built_with_its_hook(tmp_path: Path) -> None:
    bare = bare_macros()
    model = tmp_path / "doubled.sql"
    model.write_text(
        "{{ config(pre_hook=\"{% do make_scratch('once', 'select 1 as number') %}\") }}"
        "select number * 2 as number from {{ scratch('once') }}"
    )
    assert bare.connection.execute(f"from {bare.build_model(model)}").fetchall() == [(2,)]
