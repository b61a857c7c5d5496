"""The identity solver's macros on random graphs and histories, against solvers in plain Python.

The macros run bare (orchestration/checks/bare.py), so that hundreds of graphs take seconds.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from dbt_common.exceptions import CompilationError
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from orchestration.checks.bare import BareMacros
from orchestration.lookup import bridge_edges

# Limits: one account, two addresses, any number of browsers.
MAXIMA = {"account": 1, "email": 2, "browser": None}
PRIORITIES = {"account": 1, "email": 2, "browser": 3}
TIERS = {"account": 1, "email": 2, "browser": 3}


@dataclass(frozen=True)
class Link:
    node_a: int
    node_b: int
    tier: int
    guard_key: int
    edge_order: int


@dataclass(frozen=True)
class Override:
    action: str
    node_a: int
    node_b: int


@dataclass
class Graph:
    """Nodes with their types, edges and overrides."""

    kinds: dict[int, str] = field(default_factory=dict)
    links: set[Link] = field(default_factory=set)
    overrides: set[Override] = field(default_factory=set)
    maxima: Mapping[str, int | None] = field(default_factory=lambda: dict(MAXIMA))

    def edges(self) -> list[Link]:
        """Every edge between nodes that there are, those that a person asked for too."""
        pins = [
            Link(each.node_a, each.node_b, 0, -1, 0)
            for each in self.overrides
            if each.action == "must_link"
        ]
        return [
            link
            for link in [*self.links, *pins]
            if link.node_a in self.kinds and link.node_b in self.kinds
        ]


class Forest:
    """Union-find whose root is the smallest key."""

    def __init__(self, keys: Iterable[int]) -> None:
        self.parents = {key: key for key in keys}

    def root(self, key: int) -> int:
        while self.parents[key] != key:
            key = self.parents[key]
        return key

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self.parents[high] = low

    def labels(self) -> dict[int, int]:
        return {key: self.root(key) for key in self.parents}


def solve_in_python(graph: Graph) -> dict[int, int]:
    """What `solve_identity_components` promises, one edge at a time."""
    forest = Forest(graph.kinds)
    forbidden = [each for each in graph.overrides if each.action == "cannot_link"]

    def values(roots: Iterable[int]) -> list[dict[object, int]]:
        found: dict[int, dict[object, int]] = {root: defaultdict(int) for root in roots}
        for node, kind in graph.kinds.items():
            if forest.root(node) in found and graph.maxima[kind] is not None:
                found[forest.root(node)][kind] += 1
        for pair in forbidden:
            for node in (pair.node_a, pair.node_b):
                if node in graph.kinds and forest.root(node) in found:
                    found[forest.root(node)][pair] += 1
        return list(found.values())

    def breaks(roots: set[int]) -> bool:
        parts = values(roots)
        limits = {limit for part in parts for limit in part}
        for limit in limits:
            allowed = 1 if isinstance(limit, Override) else graph.maxima[str(limit)] or 0
            counts = [part[limit] for part in parts]
            if sum(counts) > max(allowed, *counts):
                return True
        return False

    edges = graph.edges()
    for tier in sorted({edge.tier for edge in edges}):
        candidates = [
            edge
            for edge in edges
            if edge.tier == tier and forest.root(edge.node_a) != forest.root(edge.node_b)
        ]
        if tier == 0:
            for edge in candidates:
                forest.join(edge.node_a, edge.node_b)
            continue
        start = forest.labels()
        guards: dict[int, set[int]] = defaultdict(set)
        for edge in candidates:
            guards[edge.guard_key] |= {start[edge.node_a], start[edge.node_b]}
        refused = {guard for guard, roots in guards.items() if breaks(roots)}
        admitted = sorted(
            (edge.edge_order, edge.guard_key, start[edge.node_a], start[edge.node_b])
            for edge in candidates
            if edge.guard_key not in refused
        )
        for _, _, one, other in admitted:
            roots = {forest.root(one), forest.root(other)}
            if len(roots) == 2 and not breaks(roots):
                forest.join(one, other)
    return forest.labels()


class Solver:
    """The macros on a DuckDB of their own, with the tables that the models give them."""

    def __init__(self, **variables: object) -> None:
        self.connection = duckdb.connect()
        self.bare = BareMacros(self.connection, variables=variables)
        for statement in (
            "create table identifiers (node_key bigint, identifier_type varchar, status varchar)",
            "create table edges (node_a bigint, node_b bigint, tier bigint, guard_key bigint, "
            "edge_order bigint)",
            "create table types (identifier_type varchar, priority bigint, "
            "max_per_customer bigint)",
            "create table overrides (action varchar, node_a bigint, node_b bigint, "
            "override_key bigint, override_name varchar, problem varchar)",
        ):
            self.connection.execute(statement)

    def fill(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        self.connection.execute(f"delete from {table}")
        listed = list(rows)
        if listed:
            told = ", ".join(str(tuple(row)).replace("None", "null") for row in listed)
            self.connection.execute(f"insert into {table} values {told}")

    def solve(self, graph: Graph, *, anew: bool = False, shuffled: random.Random) -> dict[int, int]:
        """Labels of every node; by what changed since the last call unless `anew`."""
        nodes = list(graph.kinds.items())
        edges = graph.edges()
        shuffled.shuffle(nodes)
        shuffled.shuffle(edges)
        self.fill("identifiers", [(node, kind, "active") for node, kind in nodes])
        self.fill("edges", [(e.node_a, e.node_b, e.tier, e.guard_key, e.edge_order) for e in edges])
        self.fill("types", [(k, PRIORITIES[k], most) for k, most in graph.maxima.items()])
        self.fill(
            "overrides",
            [
                (o.action, o.node_a, o.node_b, 10**6 + o.node_a * 1000 + o.node_b, f"row {n}", None)
                for n, o in enumerate(sorted(graph.overrides, key=repr))
            ],
        )
        if anew:
            self.connection.execute("drop schema if exists identity_state cascade")
        self.run()
        found = self.connection.execute(
            "select identifiers.node_key, coalesce(labels.component_key, identifiers.node_key) "
            "from identifiers left join identity_state.labels as labels using (node_key)"
        ).fetchall()
        return dict(found)

    def run(self) -> None:
        tables = ("identifiers", "edges", "types", "overrides")
        self.bare.call("solve_identity_components", *(self.bare.relation(name) for name in tables))

    @property
    def mode(self) -> str:
        row = self.connection.execute("select solve_mode from identity_state.run").fetchone()
        assert row
        return str(row[0])


def random_link(rng: random.Random, kinds: Mapping[int, str]) -> Link | None:
    """Evidence between two nodes; its tier is the weaker end's, at times a probable match."""
    one, other = rng.choice(list(kinds)), rng.choice(list(kinds))
    if one == other:
        return None
    low, high = sorted((one, other))
    if rng.random() < 0.1:
        return Link(low, high, 5, 10**7 + low * 1000 + high, rng.randrange(50))
    weaker = max(low, high, key=lambda node: (PRIORITIES[kinds[node]], node))
    return Link(low, high, TIERS[kinds[weaker]], weaker, rng.randrange(50))


def random_graph(rng: random.Random, nodes: int, links: int) -> Graph:
    kinds = {key: rng.choice(list(MAXIMA)) for key in rng.sample(range(1, 900), nodes)}
    found = (random_link(rng, kinds) for _ in range(links))
    return Graph(kinds, {link for link in found if link})


def is_consistent(graph: Graph) -> bool:
    """Whether no must_link joins what a cannot_link keeps apart."""
    forest = Forest({node for each in graph.overrides for node in (each.node_a, each.node_b)})
    for each in graph.overrides:
        if each.action == "must_link":
            forest.join(each.node_a, each.node_b)
    return all(
        forest.root(each.node_a) != forest.root(each.node_b)
        for each in graph.overrides
        if each.action == "cannot_link"
    )


def changed(rng: random.Random, graph: Graph) -> Graph:
    """The graph after a day: evidence comes and goes, values are blocked, people decide."""
    after = Graph(dict(graph.kinds), set(graph.links), set(graph.overrides), dict(graph.maxima))
    for _ in range(rng.randrange(1, 5)):
        step = rng.random()
        if step < 0.35:
            link = random_link(rng, after.kinds)
            after.links |= {link} if link else set()
        elif step < 0.5 and after.links:
            after.links.discard(rng.choice(sorted(after.links, key=repr)))
        elif step < 0.65:
            after.kinds[rng.randrange(1, 900)] = rng.choice(list(MAXIMA))
        elif step < 0.8 and len(after.kinds) > 2:
            # Blocked, expired or erased; its evidence waits and is back when the value is.
            del after.kinds[rng.choice(sorted(after.kinds))]
        elif step < 0.85 and after.links:
            link = rng.choice(sorted(after.links, key=repr))
            after.links.discard(link)
            after.links.add(replace(link, edge_order=rng.randrange(50)))
        elif step < 0.97 and len(after.kinds) > 2:
            low, high = sorted(rng.sample(sorted(after.kinds), 2))
            taken = {(each.node_a, each.node_b) for each in after.overrides}
            if after.overrides and rng.random() < 0.4:
                after.overrides.discard(rng.choice(sorted(after.overrides, key=repr)))
            elif (low, high) not in taken:
                new = Override(rng.choice(("must_link", "cannot_link")), low, high)
                with_it = Graph(overrides=after.overrides | {new})
                if is_consistent(with_it):
                    after.overrides.add(new)
        else:
            after.maxima = {**after.maxima, "email": rng.choice((1, 2, 3))}
    return after


@pytest.mark.parametrize("seed", range(8))
def test_a_random_graph_is_solved_as_by_one_edge_at_a_time(seed: int) -> None:
    rng = random.Random(seed)
    solver = Solver()
    for _ in range(4):
        graph = random_graph(rng, rng.randrange(5, 60), rng.randrange(4, 90))
        graph = changed(rng, changed(rng, graph))
        assert solver.solve(graph, anew=True, shuffled=rng) == solve_in_python(graph)


@pytest.mark.parametrize("seed", range(8))
def test_after_any_history_the_labels_are_those_of_a_full_solve(seed: int) -> None:
    rng = random.Random(1000 + seed)
    solver = Solver()
    graph = random_graph(rng, 40, 36)
    solver.solve(graph, shuffled=rng)
    modes = set()
    for _ in range(12):
        graph = changed(rng, graph)
        assert solver.solve(graph, shuffled=rng) == solve_in_python(graph)
        modes.add(solver.mode)
    assert "incremental" in modes


def scipy_labels(links: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The smallest key of each component, by scipy."""
    nodes, places = np.unique(np.array(links).ravel(), return_inverse=True)
    ends = places.reshape(-1, 2)
    matrix = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(nodes),) * 2)
    groups = connected_components(matrix, directed=False)[1]
    smallest = np.full(groups.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, groups, nodes)
    return dict(zip(nodes.tolist(), smallest[groups].tolist(), strict=True))


def chain(keys: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(keys))


def shapes() -> dict[str, list[tuple[int, int]]]:
    """Graphs that are slow or wrong where a solver is naive."""
    rng = random.Random(5)
    mixed = rng.sample(range(10**6), 5000)
    hubs = [(hub, 100_000 + rng.randrange(20_000)) for hub in range(1, 12) for _ in range(900)]
    scattered = [(rng.randrange(30_000), rng.randrange(30_000)) for _ in range(20_000)]
    return {
        "a chain of 5,000 in order": chain(range(1, 5001)),
        "a chain of 5,000 backwards": chain(range(5000, 0, -1)),
        "a chain of 5,000 in any order": chain(mixed),
        "a star of 10,000": [(5000, leaf) for leaf in range(10_000, 20_000)],
        "a star whose centre is its largest key": [(99_999, leaf) for leaf in range(1, 10_000)],
        "hubs": hubs,
        "scattered": [pair for pair in scattered if pair[0] != pair[1]],
        "a ring": [*chain(range(1, 3000)), (2999, 1)],
    }


@pytest.mark.parametrize("name", list(shapes()))
def test_contraction_gives_the_components_of_an_independent_solver(name: str) -> None:
    links = shapes()[name]
    rng = random.Random(name)
    expected = scipy_labels(links)
    for _ in range(2):
        rng.shuffle(links)
        solver = Solver()
        rows = ((*sorted(link), 1, max(link), 1) for link in links)
        table = pa.Table.from_pylist(
            [dict(zip(Link.__match_args__, row, strict=True)) for row in rows]
        )
        solver.connection.register("given", table)
        solver.connection.execute("insert into edges select * from given")
        solver.run()
        found = solver.connection.execute(
            "select node_key, component_key from identity_state.labels"
        ).fetchall()
        assert dict(found) == expected


def test_new_keys_for_the_same_graph_give_the_same_people() -> None:
    rng = random.Random(3)
    graph = random_graph(rng, 60, 80)
    labels = Solver().solve(graph, shuffled=rng)
    keys = sorted(graph.kinds)
    renamed = dict(zip(keys, [key + 5000 for key in keys], strict=True))
    again = Graph(
        {renamed[key]: kind for key, kind in graph.kinds.items()},
        {
            replace(
                link,
                node_a=renamed[link.node_a],
                node_b=renamed[link.node_b],
                guard_key=renamed.get(link.guard_key, link.guard_key),
            )
            for link in graph.links
        },
    )
    found = Solver().solve(again, shuffled=rng)
    assert {renamed[node]: renamed[label] for node, label in labels.items()} == found


def overrides_of(*rows: Override) -> Graph:
    return Graph({1: "account", 2: "email", 3: "email", 4: "browser"}, set(), set(rows))


def test_a_contradiction_between_overrides_fails_and_names_the_rows() -> None:
    graph = overrides_of(
        Override("must_link", 1, 2), Override("must_link", 2, 3), Override("cannot_link", 1, 3)
    )
    with pytest.raises(CompilationError) as raised:
        Solver().solve(graph, shuffled=random.Random(1))
    message = str(raised.value)
    assert "contradicts itself" in message and "nothing was replaced" in message
    assert all(f"row {number}:" in message for number in range(3))


def test_a_must_link_goes_over_a_limit_and_a_third_account_still_stays_out() -> None:
    kinds = {1: "account", 2: "account", 3: "account", 4: "email", 5: "email"}
    links = {Link(1, 4, 2, 4, 1), Link(2, 5, 2, 5, 1), Link(3, 5, 2, 5, 2)}
    graph = Graph(kinds, links, {Override("must_link", 1, 2)})
    solver = Solver()
    assert solver.solve(graph, shuffled=random.Random(1)) == {1: 1, 2: 1, 3: 3, 4: 1, 5: 5}
    # Without the third account, the second address is theirs.
    fewer = replace_links(graph, links - {Link(3, 5, 2, 5, 2)})
    assert solver.solve(fewer, shuffled=random.Random(1)) == {1: 1, 2: 1, 3: 3, 4: 1, 5: 1}
    assert solver.mode == "incremental"


def replace_links(graph: Graph, links: set[Link]) -> Graph:
    return Graph(graph.kinds, links, graph.overrides, graph.maxima)


def test_no_change_solves_nothing_and_a_run_cut_short_is_solved_whole() -> None:
    rng = random.Random(9)
    graph = random_graph(rng, 30, 40)
    solver = Solver()
    labels = solver.solve(graph, shuffled=rng)
    assert solver.mode == "full"
    assert solver.solve(graph, shuffled=rng) == labels
    assert solver.mode == "unchanged"
    # As a build that died between the first change and the last leaves it.
    solver.connection.execute("drop table identity_state.rules")
    solver.connection.execute("delete from identity_state.labels where node_key % 2 = 0")
    assert solver.solve(graph, shuffled=rng) == labels
    assert solver.mode == "full"


@pytest.mark.parametrize("seed", range(6))
def test_bridges_of_oversized_customers_are_those_of_a_walk(seed: int) -> None:
    rng = random.Random(seed)
    solver = Solver(max_cluster_size=4, identity_bridge_links=40)
    pairs = sorted(
        {
            tuple(sorted(rng.sample(range(100 * part + 1, 100 * part + 16), 2)))
            for part in range(6)
            for _ in range(18)
        }
        # One that is too large to look into, and a ring, which has none.
        | {(1000 + node, 1001 + node) for node in range(60)}
        | {(2000, 2001), (2001, 2002), (2002, 2003), (2003, 2004), (2000, 2004)}
    )
    matrix_labels = scipy_labels(pairs)
    rows = [(a, b, matrix_labels[a], status) for a, b in pairs for status in ("active", "active")]
    cut_off = (2001, 3001, matrix_labels[2001], "refused")
    sizes = defaultdict(int)
    for label in matrix_labels.values():
        sizes[label] += 1
    nodes = [(node, label, sizes[label]) for node, label in matrix_labels.items()]
    solver.connection.execute(
        "create table links (node_a bigint, node_b bigint, component_key bigint, status varchar)"
    )
    solver.connection.execute("create table parts (node_key bigint, component_key bigint, "
                              "component_size bigint)")  # fmt: skip
    solver.fill("links", [*rows, cut_off])
    solver.fill("parts", nodes)
    solver.bare.call("scratch", "any")
    solver.bare.call(
        "solve_identity_bridges", solver.bare.relation("links"), solver.bare.relation("parts")
    )
    found = solver.connection.execute(
        "select node_a, node_b, smaller_side from identity_scratch.bridges"
    ).fetchall()
    links_of = defaultdict(int)
    for a, _ in pairs:
        links_of[matrix_labels[a]] += 1
    looked_into = [
        pair
        for pair in pairs
        if sizes[matrix_labels[pair[0]]] > 4 and links_of[matrix_labels[pair[0]]] <= 40
    ]
    walked = {pair: side for pair, side in bridge_edges(looked_into).items() if side}
    assert walked and {(a, b): side for a, b, side in found} == walked
    assert len(found) == len(walked)
