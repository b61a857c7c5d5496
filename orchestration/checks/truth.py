"""How well the identity graph found the sample company's people.

Pairs of identifiers that truly belong to exactly one person, as in the planted-truth
measurements of the field: precision is the share of joined pairs that are one person's;
recall the share of one person's pairs that were joined, over all pairs and over those that
evidence which no guard rail blocked can link at all. Beside it stands what the same evidence
gives without guard rails. Clusters count as found where customer and person are the same
identifiers exactly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from orchestration.home import Home


@dataclass(frozen=True)
class IdentityQuality:
    """Pairwise counts; a share is None where it would divide by nothing."""

    people: int
    people_found: int
    joined_pairs: int
    joined_true_pairs: int
    true_pairs: int
    linkable_pairs: int
    joined_linkable_pairs: int
    unguarded_pairs: int
    unguarded_true_pairs: int
    exact_customers: int

    @property
    def precision(self) -> float | None:
        return _share(self.joined_true_pairs, self.joined_pairs)

    @property
    def unguarded_precision(self) -> float | None:
        """Precision of joining whatever any record names together."""
        return _share(self.unguarded_true_pairs, self.unguarded_pairs)

    @property
    def cluster_precision(self) -> float | None:
        """Share of customers that are one person's identifiers, all of them and no other."""
        return _share(self.exact_customers, self.people_found)

    @property
    def cluster_recall(self) -> float | None:
        return _share(self.exact_customers, self.people)

    @property
    def recall(self) -> float | None:
        return _share(self.joined_true_pairs, self.true_pairs)

    @property
    def linkable_recall(self) -> float | None:
        return _share(self.joined_linkable_pairs, self.linkable_pairs)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def measure_identity(home: Home) -> IdentityQuality | None:
    """Compare the published map with `truth/identifiers.csv`; None where there is no truth."""
    truth = home.truth / "identifiers.csv"
    if not truth.exists() or not home.private_file.exists():
        return None
    with duckdb.connect(str(home.private_file), read_only=True) as connection:
        return measure(connection, truth)


def measure(connection: duckdb.DuckDBPyConnection, truth: Path) -> IdentityQuality:
    """Compare a warehouse's or a published file's identity tables with the truth."""
    owned: dict[str, Any] = connection.execute(
        """
        with owned as (
            select identifier_type, identifier_value, min(person_id) as person_id
            from read_csv(?, all_varchar = true)
            group by 1, 2
            having count(distinct person_id) = 1
        )
        select identifiers.node_key, owned.person_id, identity_map.customer_id
        from owned
        left join identity.identifiers as identifiers using (identifier_type, identifier_value)
        left join identity.identity_map as identity_map
            on identifiers.node_key = identity_map.node_key and identity_map.is_current
        """,
        [str(truth)],
    ).fetchnumpy()
    edges: dict[str, Any] = connection.execute(
        "select node_a, node_b, status in ('active', 'refused') as is_admissible "
        "from identity.identity_edges"
    ).fetchnumpy()
    keys = np.ma.filled(owned["node_key"].astype("int64"), -1)
    person = _codes(owned["person_id"])
    mapped = ~np.ma.getmaskarray(owned["customer_id"])
    customer = _codes(np.ma.filled(owned["customer_id"], ""))
    group = np.where(mapped, customer, customer.max(initial=0) + 1 + np.arange(len(customer)))
    node_a, node_b = np.asarray(edges["node_a"]), np.asarray(edges["node_b"])
    admissible = np.asarray(edges["is_admissible"])
    evidence = _evidence_components(keys, person, node_a[admissible], node_b[admissible])
    unguarded = _components_of_all(keys, node_a, node_b)
    return IdentityQuality(
        people=len(np.unique(person)),
        people_found=len(np.unique(customer[mapped])),
        joined_pairs=_pairs(group),
        joined_true_pairs=_pairs(group, person),
        true_pairs=_pairs(person),
        linkable_pairs=_pairs(evidence),
        joined_linkable_pairs=_pairs(evidence, group),
        unguarded_pairs=_pairs(unguarded),
        unguarded_true_pairs=_pairs(unguarded, person),
        exact_customers=_exact(group[mapped], person[mapped]),
    )


def _evidence_components(
    keys: np.ndarray, person: np.ndarray, node_a: np.ndarray, node_b: np.ndarray
) -> np.ndarray:
    """Components of the evidence between identifiers of one and the same person."""
    order = np.argsort(keys)
    sorted_keys = keys[order]

    def position(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.clip(np.searchsorted(sorted_keys, nodes), 0, max(len(keys) - 1, 0))
        return order[at], sorted_keys[at] == nodes

    row_a, known_a = position(np.asarray(node_a))
    row_b, known_b = position(np.asarray(node_b))
    same = known_a & known_b
    same[same] = person[row_a[same]] == person[row_b[same]]
    count = len(keys)
    matrix = coo_matrix((np.ones(same.sum()), (row_a[same], row_b[same])), shape=(count, count))
    return connected_components(matrix, directed=False)[1]


def _components_of_all(keys: np.ndarray, node_a: np.ndarray, node_b: np.ndarray) -> np.ndarray:
    """Components of all evidence, whoever's, of the identifiers with these keys."""
    nodes, places = np.unique(np.concatenate([node_a, node_b]), return_inverse=True)
    count = len(nodes)
    ends = (places[: len(node_a)], places[len(node_a) :])
    labels = connected_components(
        coo_matrix((np.ones(len(node_a)), ends), shape=(count, count)), directed=False
    )[1]
    at = np.clip(np.searchsorted(nodes, keys), 0, max(count - 1, 0))
    return np.where(nodes[at] == keys, labels[at], count + np.arange(len(keys)))


def _exact(group: np.ndarray, person: np.ndarray) -> int:
    """Groups whose members are one person's, and all of that person's."""
    both = np.unique(np.stack([group, person]), axis=1)
    groups, people = np.unique(both[0], return_counts=True), np.unique(both[1], return_counts=True)
    alone = np.isin(both[0], groups[0][groups[1] == 1])
    return int((alone & np.isin(both[1], people[0][people[1] == 1])).sum())


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(np.asarray(values, dtype=str), return_inverse=True)[1].astype("int64")


def _pairs(*labels: np.ndarray) -> int:
    """Pairs of rows that agree in every label."""
    if not len(labels[0]):
        return 0
    counts = np.unique(np.stack(labels), axis=1, return_counts=True)[1].astype("int64")
    return int((counts * (counts - 1) // 2).sum())
