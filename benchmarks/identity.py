"""Who is who, side by side: the model's own statements, scipy and Splink on the same graphs.

One process per measurement, so that each has its own peak of memory; the edges are in DuckDB
before the clock starts and the labels are when it stops. Every set of labels is compared with
scipy's. Printed as Markdown, never asserted.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from identity_graphs import a_day_more, company, path
from jinja2.utils import Namespace

from orchestration.home import PROJECT

PATH_LENGTH = 5_000
# Splink passes labels one step a round along a path in order: minutes at 5,000.
SPLINK_PATH_LENGTH = 500
SPLINK_LARGEST = 1.0
MEGABYTE = 1024


@dataclass(frozen=True)
class Graph:
    """A graph to measure on: a company of a size, or a path where there is no size."""

    title: str
    scale: float = 0
    ordered: bool = False
    length: int = 0

    def write(self, target: Path) -> None:
        """The edges as a file; row groups small enough that DuckDB reads them side by side."""
        u, v = path(self.length) if self.length else company(self.scale, ordered=self.ordered)
        pq.write_table(pa.table({"u": u, "v": v}), target, row_group_size=122_880)


@dataclass(frozen=True)
class Measured:
    """What one method cost on one graph; `loaded_mb` is its peak before the clock started."""

    method: str
    wall: float
    cpu: float
    peak_mb: float
    loaded_mb: float
    statements: int
    edges: int
    nodes: int
    different: int = -1


def say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- The methods: each gets edges(u, v), u < v, and makes labels -----------------------------


def ours(connection: duckdb.DuckDBPyConnection, project: Path) -> Callable[[], int]:
    """The macro that the model identity_components runs, with every statement it sends."""
    from orchestration.checks.bare import BareMacros

    bare = BareMacros(connection, project=project)
    connection.execute("create schema identity_scratch")
    # Jinja compiles the file's macros before the clock starts.
    bare.call("scratch", "any")

    def run() -> int:
        edges, told = bare.relation("edges"), Namespace(rounds=0)
        table = bare.call("contract_edges", "graph", edges, told)
        connection.execute(f"create view labels as from {table}")
        return len(bare.statements)

    return run


def scipy(connection: duckdb.DuckDBPyConnection, project: Path) -> Callable[[], int]:
    """End to end: fetch the edges, number the nodes, solve, write the labels back."""
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    def run() -> int:
        edges = connection.execute("select u, v from edges").fetchnumpy()
        # Hashing numbers the nodes faster than the sort of numpy.unique does.
        numbers, nodes = pd.factorize(np.concatenate([edges["u"], edges["v"]]))
        ends = numbers.reshape(2, -1)
        weights = np.ones(ends.shape[1], dtype=np.int8)
        graph = coo_array((weights, (ends[0], ends[1])), shape=(len(nodes), len(nodes)))
        count, parts = connected_components(graph, directed=False)
        smallest = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(smallest, parts, nodes)
        found = pa.table({"node_key": nodes, "component_key": smallest[parts]})
        connection.register("found", found)
        connection.execute("create table labels as from found")
        return 2

    return run


def splink(connection: duckdb.DuckDBPyConnection, project: Path) -> Callable[[], int]:
    """Splink's clustering of pairs that all count as a match."""
    from splink import DuckDBAPI
    from splink.clustering import cluster_pairwise_predictions_at_threshold as cluster

    api = DuckDBAPI(connection=connection)
    connection.execute(
        "create table nodes as select u as node_key from edges union select v from edges"
    )

    def run() -> int:
        found = cluster(
            connection.table("nodes"),
            connection.table("edges"),
            db_api=api,
            node_id_column_name="node_key",
            edge_id_column_name_left="u",
            edge_id_column_name_right="v",
        )
        connection.execute(
            "create view labels as select node_key, cluster_id as component_key "
            f"from {found.physical_name}"
        )
        return 0

    return run


METHODS = {"scipy": scipy, "ours": ours, "splink": splink}


# --- One measurement, in a process of its own --------------------------------------------------


def peak_mb() -> float:
    """This process's own peak; what getrusage tells begins with its parent's on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / MEGABYTE


def measure(method: str, graph: Path, labels: Path, project: Path, threads: int) -> Measured:
    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}")
    connection.execute(f"create table edges as from '{graph}'")
    run = METHODS[method](connection, project)
    loaded, cpu, started = peak_mb(), time.process_time(), time.perf_counter()
    statements = run()
    wall, cpu, peak = time.perf_counter() - started, time.process_time() - cpu, peak_mb()
    edges, nodes = connection.execute(
        "select (select count(*) from edges), (select count(*) from labels)"
    ).fetchall()[0]
    connection.execute(f"copy (select node_key, component_key from labels) to '{labels}'")
    return Measured(method, wall, cpu, peak, loaded, statements, edges, nodes)


def in_a_process(*arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"{' '.join(arguments)} failed\n{ended.stderr[-2000:]}")
    return ended.stdout


def rows_different(left: Path, right: Path) -> int:
    """Nodes that one side lacks, or labels otherwise."""
    row = (
        duckdb.connect()
        .execute(
            f"select count(*) from '{left}' as a full join '{right}' as b using (node_key) "
            "where a.component_key is distinct from b.component_key"
        )
        .fetchone()
    )
    return row[0] if row else -1


def measure_all(graph: Graph, methods: list[str], options: argparse.Namespace) -> list[Measured]:
    """Each method's fastest of the repeats, which take turns so that a busy minute hits all."""
    with tempfile.TemporaryDirectory() as folder:
        edges = Path(folder) / "edges.parquet"
        in_a_process("--write", json.dumps(asdict(graph)), str(edges))
        best: dict[str, Measured] = {}
        for _ in range(options.repeat):
            for method in methods:
                labels = Path(folder) / f"{method}.parquet"
                told = in_a_process(
                    "--measure", method, str(edges), str(labels),
                    "--project", str(options.project), "--threads", str(options.threads),
                )  # fmt: skip
                found = Measured(**json.loads(told))
                reference = Path(folder) / "scipy.parquet"
                if reference.exists():
                    found = replace(found, different=rows_different(reference, labels))
                best[method] = min(best.get(method, found), found, key=lambda each: each.wall)
        return list(best.values())


# --- What is compared --------------------------------------------------------------------------


def graphs(options: argparse.Namespace) -> Iterator[tuple[Graph, list[str]]]:
    """Each graph with its methods; scipy first, since it tells what the labels must be."""
    wanted = [name for name in METHODS if name in {"scipy", *options.only}]
    if options.skip_splink or not find_spec("splink"):
        wanted = [name for name in wanted if name != "splink"]
    without_splink = [name for name in wanted if name != "splink"]
    for scale in options.scale:
        methods = wanted if scale <= SPLINK_LARGEST else without_splink
        yield Graph(f"company, scale {scale:g}, hashed ids", scale), methods
    smallest = min(options.scale)
    yield Graph(f"company, scale {smallest:g}, ids in order", smallest, True), without_splink
    yield Graph(f"path of {PATH_LENGTH:,} in order", length=PATH_LENGTH), without_splink
    if "splink" in wanted:
        title = f"path of {SPLINK_PATH_LENGTH:,} in order"
        yield Graph(title, length=SPLINK_PATH_LENGTH), wanted


def tell(graph: Graph, found: list[Measured]) -> None:
    """One row per method, beside scipy's time of the same run."""
    scipys = next(each for each in found if each.method == "scipy")
    for each in found:
        statements = str(each.statements) if each.method == "ours" else ""
        different = "" if each.method == "scipy" else f"{each.different:,}"
        say(
            f"| {graph.title} | {each.edges:,} / {each.nodes:,} | {each.method} "
            f"| {each.wall:.2f} s | {each.wall / scipys.wall:.2f} | {each.cpu:.2f} s "
            f"| {each.cpu / scipys.cpu:.2f} | {each.peak_mb:,.0f} MB ({each.loaded_mb:,.0f}) "
            f"| {statements} | {different} |"
        )


# --- The whole solver, and what changed since it last ran --------------------------------------


@dataclass(frozen=True)
class Delta:
    """Seconds of one solver's runs: everything, 0.1 % more edges, everything with those."""

    full: float
    delta: float
    full_after: float
    mode: str
    new_edges: int
    touched: int
    different: int


def measure_delta(graph: Path, project: Path, threads: int) -> Delta:
    """The macro that the model's hook calls, on one tier and without limits."""
    from orchestration.checks.bare import BareMacros

    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}")
    for statement in (
        f"create table graph as from '{graph}'",
        "create table edges as select u as node_a, v as node_b, 1::bigint as tier, "
        "v as guard_key, 0::bigint as edge_order from graph",
        "create table nodes as select u as node_key from graph union select v from graph",
        "create table identifiers as "
        "select node_key, 'cookie' as identifier_type, 'active' as status from nodes",
        "create table types as select 'cookie' as identifier_type, 1::bigint as priority, "
        "null::bigint as max_per_customer",
        "create table overrides (action varchar, node_a bigint, node_b bigint, "
        "override_key bigint, override_name varchar, problem varchar)",
        "drop table graph",
    ):
        connection.execute(statement)
    bare = BareMacros(connection, project=project)
    bare.call("scratch", "any")
    tables = [bare.relation(name) for name in ("identifiers", "edges", "types", "overrides")]

    def solve() -> float:
        started = time.perf_counter()
        bare.call("solve_identity_components", *tables)
        return time.perf_counter() - started

    full = solve()
    labels = connection.execute(
        "select node_key, component_key from identity_state.labels"
    ).fetchnumpy()
    u, v = a_day_more(labels["node_key"], labels["component_key"])
    connection.register("day", pa.table({"u": u, "v": v}))
    connection.execute("insert into edges select u, v, 1, v, 1 from day")
    delta = solve()
    mode, touched = connection.execute(
        "select solve_mode, solved_node_count from identity_state.run"
    ).fetchall()[0]
    connection.execute("create table kept as select node_key, component_key "
                       "from identity_state.labels")  # fmt: skip
    connection.execute("drop schema identity_state cascade")
    full_after = solve()
    different = connection.execute(
        "select count(*) from kept full join identity_state.labels as anew using (node_key) "
        "where kept.component_key is distinct from anew.component_key"
    ).fetchall()[0][0]
    return Delta(full, delta, full_after, mode, len(u), touched, different)


def incremental(options: argparse.Namespace) -> None:
    """0.1 % new edges against everything anew, by the solver with all its tiers' work."""
    say("| graph | new edges | full | 0.1 % more | to full | nodes relabelled | rows different |")
    say("| --- " * 7 + "|")
    for scale in options.scale:
        graph = Graph(f"company, scale {scale:g}, hashed ids", scale)
        with tempfile.TemporaryDirectory() as folder:
            edges = Path(folder) / "edges.parquet"
            in_a_process("--write", json.dumps(asdict(graph)), str(edges))
            told = in_a_process("--delta", str(edges), "--project", str(options.project),
                                "--threads", str(options.threads))  # fmt: skip
        found = Delta(**json.loads(told))
        say(
            f"| {graph.title} | {found.new_edges:,} | {found.full_after:.2f} s "
            f"| {found.delta:.2f} s ({found.mode}) | {found.delta / found.full_after:.1%} "
            f"| {found.touched:,} | {found.different:,} |"
        )
    say()


# --- Asking why ---------------------------------------------------------------------------------

QUESTIONS = 200


def measure_explanation(graph: Path, folder: Path, project: Path) -> list[float]:
    """Seconds of `explain` for random pairs of one component each, on a published file."""
    from orchestration.checks.bare import BareMacros
    from orchestration.home import Home
    from orchestration.lookup import explain

    home = Home(folder).ensure()
    with duckdb.connect(str(home.private_file)) as connection:
        connection.execute(f"create table edges as from '{graph}'")
        bare = BareMacros(connection, project=project)
        connection.execute("create schema identity_scratch")
        table = bare.call("contract_edges", "graph", bare.relation("edges"), Namespace(rounds=0))
        for statement in PUBLISHED:
            connection.execute(statement.format(labels=table))
        connection.execute("drop schema identity_scratch cascade")
        connection.execute("drop table edges")
        connection.execute("checkpoint")
        pairs = connection.execute(
            "with asked as (select *, hash(node_key) as place from identity.identity_components "
            f"order by place limit {QUESTIONS}) "
            "select any_value(asked.node_key), max_by(others.node_key, hash(others.node_key)) "
            "from asked inner join identity.identity_components as others using (component_key) "
            "group by place order by place"
        ).fetchall()
    seconds = []
    for one, other in pairs:
        started = time.perf_counter()
        assert explain(home, str(one), str(other))["is_linked"]
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)


# The tables that `explain` reads, of a graph without limits, in the order they are published in.
PUBLISHED = (
    "create schema identity",
    "create table identity.identity_components as "
    "select node_key, component_key, component_key as evidence_key from {labels} order by node_key",
    "create table identity.identifiers as select node_key, 'cookie' as identifier_type, "
    "cast(node_key as varchar) as identifier_value, 'active' as status from {labels} "
    "order by node_key",
    "create table identity.identity_map as select node_key, "
    "cast(component_key as varchar) as customer_id, true as is_current from {labels}",
    "create table identity.identity_redirects as select distinct customer_id, "
    "customer_id as current_customer_id from identity.identity_map",
    "create table identity.identity_quarantine (reason varchar, identifier_type varchar, "
    "identifier_value varchar, observed_value bigint, limit_value bigint, released_at timestamp)",
    "create table identity.identity_edges as select u as node_a, v as node_b, "
    "'web.events' as rule_id, 'deterministic' as edge_type, 1.0 as weight, 4 as tier, "
    "1 as evidence_count, timestamp '2026-01-01' as first_seen_at, "
    "timestamp '2026-01-01' as last_seen_at, 'first' as first_record_key, "
    "'last' as last_record_key, 'active' as status, null::varchar as status_reason, "
    "null::varchar as limit_type, null::bigint as observed_value, null::bigint as limit_value, "
    "null::varchar as override_name, component_key "
    "from edges inner join {labels} on u = node_key order by component_key, node_a, node_b",
)


def explanation(options: argparse.Namespace) -> None:
    """The median time of `explain` over random pairs of one component each."""
    for scale in options.scale:
        with tempfile.TemporaryDirectory() as folder:
            edges = Path(folder) / "edges.parquet"
            graph = Graph(f"company, scale {scale:g}", scale)
            in_a_process("--write", json.dumps(asdict(graph)), str(edges))
            told = in_a_process("--explain", str(edges), folder, "--project", str(options.project))
        seconds = json.loads(told)
        say(
            f"- {len(seconds)} explanations on {graph.title}: median "
            f"{seconds[len(seconds) // 2] * 1000:.0f} ms, slowest {seconds[-1] * 1000:.0f} ms"
        )


# --- Through dbt --------------------------------------------------------------------------------

MODEL = "identity_components"


def measure_through_dbt(graph: Path, folder: Path, project: Path) -> dict[str, float]:
    """The model built by dbt on a warehouse file, and its statements alone on another."""
    from orchestration.checks.bare import BareMacros
    from orchestration.home import Home
    from orchestration.project import run_dbt

    seconds: dict[str, float] = {}
    for name in ("bare", "dbt"):
        home = Home(folder / name).ensure()
        with duckdb.connect(str(home.warehouse)) as connection:
            connection.execute("set threads = 2")
            for statement in INPUTS:
                connection.execute(statement.format(graph=graph))
            if name == "bare":
                bare = BareMacros(connection, schema="identity", project=project)
                bare.call("scratch", "any")
                started = time.perf_counter()
                bare.build_model(project / f"models/identity/{MODEL}.sql")
                seconds["bare"] = time.perf_counter() - started
    started = time.perf_counter()
    run_dbt(home, date(2026, 11, 1), ["run", "--select", MODEL])
    seconds["whole command"] = time.perf_counter() - started
    results = json.loads((home.dbt_target / "run_results.json").read_text())["results"]
    seconds["dbt"] = next(
        each["execution_time"] for each in results if each["unique_id"].endswith(MODEL)
    )
    return seconds


# What the model reads, on one tier and without limits.
INPUTS = (
    "create schema identity",
    "create schema seeds",
    "create table identity.int_identity__admissible_edges as select u as node_a, v as node_b, "
    "1::bigint as tier, v as guard_key, 0::bigint as edge_order from '{graph}'",
    "create table identity.identifiers as select node_key, 'cookie' as identifier_type, "
    "'active' as status from (select u as node_key from '{graph}' union select v from '{graph}')",
    "create table seeds.identifier_types as select 'cookie' as identifier_type, "
    "1::bigint as priority, null::bigint as max_per_customer",
    "create view identity.identifier_types as from seeds.identifier_types",
    "create table identity.int_identity__overrides (action varchar, node_a bigint, node_b bigint, "
    "override_key bigint, override_name varchar, problem varchar)",
)


def through_dbt(options: argparse.Namespace) -> None:
    """dbt's time for the model against its statements alone; dbt's start is told apart."""
    scale = min(options.scale)
    graph = Graph(f"company, scale {scale:g}", scale)
    with tempfile.TemporaryDirectory() as folder:
        edges = Path(folder) / "edges.parquet"
        in_a_process("--write", json.dumps(asdict(graph)), str(edges))
        found = json.loads(
            in_a_process("--dbt", str(edges), folder, "--project", str(options.project))
        )
    say(
        f"- the model on {graph.title}: {found['bare']:.2f} s bare, {found['dbt']:.2f} s by dbt "
        f"({found['dbt'] / found['bare']:.1f} x), besides "
        f"{found['whole command'] - found['dbt']:.1f} s for dbt to start and to read the project"
    )


def compare(options: argparse.Namespace) -> None:
    say("| graph | edges / nodes | method | wall | to scipy | cpu | to scipy "
        "| peak (edges loaded) | statements | rows different |")  # fmt: skip
    say("| --- " * 10 + "|")
    for graph, methods in graphs(options):
        tell(graph, measure_all(graph, methods, options))
    say()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, nargs="+", default=[1, 5])
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--skip-splink", action="store_true")
    parser.add_argument("--repeat", type=int, default=1, help="the fastest of so many is told")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--project", type=Path, default=PROJECT, help="whose macros are measured")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--delta", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--explain", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--dbt", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--skip-methods", action="store_true", help="the parts below alone")
    options = parser.parse_args()
    if options.write:
        Graph(**json.loads(options.write[0])).write(Path(options.write[1]))
        return
    if options.measure:
        method, graph, labels = options.measure
        found = measure(method, Path(graph), Path(labels), options.project, options.threads)
        say(json.dumps(asdict(found)))
        return
    if options.delta:
        say(json.dumps(asdict(measure_delta(options.delta, options.project, options.threads))))
        return
    if options.explain:
        graph, folder = map(Path, options.explain)
        say(json.dumps(measure_explanation(graph, folder, options.project)))
        return
    if options.dbt:
        graph, folder = map(Path, options.dbt)
        say(json.dumps(measure_through_dbt(graph, folder, options.project)))
        return
    if not options.skip_methods:
        compare(options)
    for part in (incremental, explanation, through_dbt):
        part(options)


if __name__ == "__main__":
    main()
