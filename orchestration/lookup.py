"""Looking people up in the published file: one customer's card, and why two are one."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from orchestration.errors import CdpError
from orchestration.home import Home


@contextmanager
def _published(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    if not home.private_file.exists():
        raise CdpError("Nothing is published yet: run `cdp run` (or `cdp demo`) first.")
    # One short connection a question: a new file is seen once the old one is closed.
    with duckdb.connect(str(home.private_file), read_only=True) as connection:
        yield connection


def _dicts(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any]
) -> list[dict[str, Any]]:
    found = connection.execute(query, parameters)
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _customers_of(connection: duckdb.DuckDBPyConnection, identifier: str) -> list[str]:
    """Customers that an identifier or a customer_id, old ones too, stands for now."""
    text = identifier.strip()
    rows = connection.execute(
        """
        select current_customer_id from identity.identity_redirects
        where customer_id = ? and current_customer_id is not null
        union
        select customer_id from identity.identity_map
        where is_current and (identifier_value = ? or identifier_value = lower(?))
        order by 1
        """,
        [text, text, text],
    ).fetchall()
    return [row[0] for row in rows]


def contact_points_of(home: Home, identifier: str) -> list[tuple[str, str]]:
    """Contact points of the customers that an identifier stands for; none if nobody."""
    if not home.private_file.exists():
        return []
    with _published(home) as connection:
        rows = connection.execute(
            "select distinct contact_point_type, contact_point from profile.contact_points "
            "where customer_id in (select unnest($1::varchar[])) order by 1, 2",
            [_customers_of(connection, identifier)],
        ).fetchall()
    return [(row[0], row[1]) for row in rows]


def _one_customer(connection: duckdb.DuckDBPyConnection, identifier: str) -> str:
    found = _customers_of(connection, identifier)
    if not found:
        why = connection.execute(
            "select reason from identity.identity_quarantine "
            "where identifier_value = ? and released_at is null limit 1",
            [identifier.strip()],
        ).fetchone()
        raise CdpError(
            f"No customer has this identifier now: it is in quarantine ({why[0]})."
            if why
            else "No customer has this identifier. Give an e-mail, a phone as +441…, a "
            "customer number, a cookie or a customer_id."
        )
    if len(found) > 1:
        raise CdpError(f"The identifier stands for several customers: {', '.join(found)}.")
    return found[0]


def masked(value: Any) -> Any:
    """The first letter and the length of what is hidden, so that a person can recognise it."""
    if not isinstance(value, str) or not value:
        return value
    name, at, domain = value.partition("@")
    if at:
        return f"{name[:1]}…@{domain}"
    return f"{value[:3]}…{value[-2:]}" if value.startswith("+") else f"{value[:1]}…"


# Steps from one node along an edge to another.
Path = list[tuple[int, dict[str, Any], int]]

HIDDEN = {
    "email",
    "phone",
    "first_name",
    "last_name",
    "birth_date",
    "address_line",
    "city",
    "region",
    "postal_code",
    "contact_point",
    "identifier_value",
    "other_identifier_value",
    "attribute_value",
    "value",
    "preferences",
}


def _hide(rows: list[dict[str, Any]], unmask: bool) -> list[dict[str, Any]]:
    if unmask:
        return rows
    return [{name: _hidden(name, value) for name, value in row.items()} for row in rows]


def _hidden(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith("record_key"):
        return _key_end(str(value))
    return masked(str(value)) if name in HIDDEN else value


def read_profile(home: Home, identifier: str, unmask: bool = False) -> dict[str, Any]:
    """All that a card shows of one customer; personal values masked unless asked for."""
    with _published(home) as connection:
        customer_id = _one_customer(connection, identifier)

        def rows(query: str) -> list[dict[str, Any]]:
            return _hide(_dicts(connection, query, [customer_id]), unmask)

        household = rows("select household_size from identity.households where customer_id = ?")
        return {
            "customer_id": customer_id,
            "golden_record": rows("select * from profile.customers where customer_id = ?")[0],
            "metrics": rows("select * from metrics.customer_metrics where customer_id = ?")[0],
            "household_size": household[0]["household_size"] if household else None,
            "attributes": rows(_ATTRIBUTES),
            "contact_points": rows(
                "select contact_point_type as type, contact_point, reachability, is_preferred, "
                "preference_reason as why, last_seen_at "
                "from profile.contact_points where customer_id = ? "
                "order by 1, is_preferred desc, last_seen_at desc, 2"
            ),
            "permissions": rows(
                "select channel, purpose, contact_point, permissions.is_permitted, "
                "permissions.reason, consents.source as said_in, consents.captured_at as said_at, "
                "consents.expires_at as until "
                "from profile.contact_permissions as permissions "
                "left join profile.customer_consents as consents "
                "using (customer_id, contact_point_type, contact_point, channel, purpose) "
                "where customer_id = ? order by 1, 2, 3"
            ),
            "identifiers": rows(
                "select identifier_type, identifier_value, first_seen_at, last_seen_at "
                "from profile.customer_identifiers where customer_id = ? order by tier, 1, 2"
            ),
            "audiences": rows(
                "select audience, entered_at, exited_at, exit_reason "
                "from audiences.audience_memberships where customer_id = ? order by 2, 1"
            ),
            "orders": rows(
                "select order_id, ordered_at, net_amount, currency, is_cancelled "
                "from profile.orders where customer_id = ? order by ordered_at desc, 1 limit 10"
            ),
            "channels": rows(
                "select channel, count(*) as interactions, min(occurred_at) as first_at, "
                "max(occurred_at) as latest_at from profile.interactions "
                "where customer_id = ? group by 1 order by 2 desc, 1"
            ),
            "timeline": rows(
                "select occurred_at, channel, activity, activity_occurrence as nth, product_id, "
                "source from profile.interactions "
                "where customer_id = ? order by occurred_at desc, interaction_id limit 20"
            ),
        }


# What won, with how many other values lost to it.
_ATTRIBUTES = """
select attribute_group as known, attribute_value as value, record_source as said_by, record_key,
    first_said_at as since, last_said_at as last_said, outcome_reason as won_by, others
from (
    select *, count(*) filter (where outcome in ('lost', 'blocked'))
        over (partition by attribute_group) as others
    from profile.customer_attributes where customer_id = ?
)
where outcome in ('won', 'kept')
order by list_position(
    ['name', 'email', 'phone', 'address', 'birth_date', 'gender', 'language', 'preferences'],
    attribute_group
), survival_rank
"""


def explain(home: Home, one: str, other: str, unmask: bool = False) -> dict[str, Any]:
    """The shortest path of evidence between two identifiers, or what keeps them apart.

    Where no path holds, the one that would if everything refused were let through is told: its
    steps say which rule, cap, block or override stopped it. `cause` says it in a sentence.
    """
    with _published(home) as connection:
        ends = _nodes_of(connection, [one.strip(), other.strip()])
        quarantined = _hide(_quarantined(connection, ends), unmask)

        def told(path: Path | None, admitted: str = "") -> dict[str, Any]:
            steps = []
            if path:
                names = _names_of(connection, {node for step in path for node in step[::2]}, unmask)
                steps = [_step(names[start], edge, names[end], unmask) for start, edge, end in path]
            cause = _cause(steps) if admitted else "the evidence joins them"
            return {
                "is_linked": path is not None and not admitted,
                "cause": "no evidence joins them" if path is None else cause,
                "steps": steps,
                "quarantined": quarantined,
            }

        shared = _shared_components(connection, ends)
        if shared:
            # One customer: its own evidence is enough, which is little beside all that is near.
            links = _links(_dicts(connection, _EDGES_WITHIN, [shared]))
            path = _shortest(links, set(ends[0]), set(ends[1]), {"active"})
            if path is not None:
                return told(path)
        links = _links(_dicts(connection, _EDGES_NEAR, [[*ends[0], *ends[1]]]))
        statuses = set()
        for admitted in ("", "refused", "quarantined", "expired"):
            statuses |= {admitted or "active"}
            path = _shortest(links, set(ends[0]), set(ends[1]), statuses)
            if path is not None:
                return told(path, admitted)
        return told(None)


def _links(edges: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """The edges at each node."""
    links: dict[int, list[dict[str, Any]]] = {}
    for edge in edges:
        links.setdefault(edge["node_a"], []).append(edge)
        links.setdefault(edge["node_b"], []).append(edge)
    return links


def _quarantined(
    connection: duckdb.DuckDBPyConnection, ends: list[dict[int, str]]
) -> list[dict[str, Any]]:
    """Values of both ends that are out of the graph: they join nobody, whatever names them."""
    nodes = [node for end in ends for node, status in end.items() if status == "quarantined"]
    return _dicts(connection, _QUARANTINED, [nodes]) if nodes else []


_QUARANTINED = """
select distinct quarantine.reason, quarantine.identifier_type, quarantine.identifier_value,
    quarantine.observed_value, quarantine.limit_value
from identity.identity_quarantine as quarantine
inner join identity.identifiers as identifiers using (identifier_type, identifier_value)
where quarantine.released_at is null and identifiers.node_key in (select unnest(?))
order by 1, 2, 3
"""


def _step(start: str, edge: dict[str, Any], end: str, unmask: bool) -> dict[str, Any]:
    found = [edge[name] for name in ("first_record_key", "last_record_key") if edge[name]]
    records = found if unmask or edge["edge_type"] == "probable" else map(_key_end, found)
    return {
        "from": start,
        "to": end,
        "rule": edge["rule_id"],
        "kind": edge["edge_type"],
        "weight": edge["weight"],
        "tier": edge["tier"],
        "records": edge["evidence_count"],
        "first_and_last": " … ".join(dict.fromkeys(records)) or edge["override_name"],
        "first_seen_at": edge["first_seen_at"],
        "last_seen_at": edge["last_seen_at"],
        "status": edge["status"],
        "reason": _reason(edge),
    }


def _key_end(key: str) -> str:
    """A record's key may be an address: its last four signs are enough to find it again."""
    return f"…{key[-4:]}"


_REASONS = {
    "junk_value": "a value in seeds/blocked_identifiers.csv",
    "many_names": "met more unlike given names than max_given_names of its type",
    "cardinality_cap": "met more strong identifiers than max_strong_per_value of its type",
    "expired": "unseen for longer than expire_days of its type",
    "tier_conflict": "other evidence of its tier came before it and left no room",
}


def _reason(edge: dict[str, Any]) -> str | None:
    """Why an edge does not join, in words that name the rule to look at."""
    reason = edge["status_reason"]
    if reason == "cannot_link":
        return f"kept apart by seeds/identity_overrides.csv: {edge['override_name']}"
    if reason in ("unique_type_conflict", "max_per_customer"):
        return (
            f"one customer would have {edge['observed_value']} values of {edge['limit_type']}; "
            f"max_per_customer is {edge['limit_value']}"
        )
    return _REASONS.get(str(reason), reason)


def _cause(steps: list[dict[str, Any]]) -> str:
    """What stopped the path, named by the identifier that stopped steps have in common."""
    stopped = [step for step in steps if step["status"] != "active"]
    ends = Counter(name for step in stopped for name in (step["to"], step["from"]))
    told = (
        f"{max(step['to'], step['from'], key=lambda name: ends[name])} is {step['status']}: "
        f"{step['reason']}"
        for step in stopped
    )
    return "; ".join(dict.fromkeys(told))


_EDGE = """node_a, node_b, rule_id, edge_type, weight, tier, evidence_count, first_seen_at,
    last_seen_at, first_record_key, last_record_key, status, status_reason, limit_type,
    observed_value, limit_value, override_name"""

_EDGES_WITHIN = f"""
select {_EDGE} from identity.identity_edges
where status = 'active' and component_key in (select unnest(?))
order by node_a, node_b, rule_id
"""

# Evidence around both ends, whatever became of it: all that evidence reaches from either, and what
# is out of the graph beside it.
_EDGES_NEAR = f"""
with near as (
    select node_key from identity.identity_components
    where evidence_key in (
        select evidence_key from identity.identity_components where node_key in (select unnest($1))
    )
    union
    select unnest($1)
)
select {_EDGE}
from identity.identity_edges
where node_a in (select node_key from near) or node_b in (select node_key from near)
order by status, node_a, node_b, rule_id
"""


def read_identity(home: Home, identifier: str, unmask: bool = False) -> dict[str, Any]:
    """How well one customer's identity holds: size, evidence, weakest link, bridges, history.

    A bridge is an edge without which the customer would be two customers.
    """
    with _published(home) as connection:
        customer_id = _one_customer(connection, identifier)

        def rows(query: str) -> list[dict[str, Any]]:
            return _hide(_dicts(connection, query, [customer_id]), unmask)

        edges = _dicts(connection, _EDGES_OF_CUSTOMER, [customer_id])
        bridges = bridge_edges([(edge["node_a"], edge["node_b"]) for edge in edges])
        names = _names_of(
            connection,
            {node for edge in edges for node in (edge["node_a"], edge["node_b"])},
            unmask,
        )
        weakest = max(edges, key=_weakness, default=None)
        told = [
            _step(names[edge["node_a"]], edge, names[edge["node_b"]], unmask)
            for edge in edges
            if bridges[_pair(edge)] > 1
        ]
        return {
            "customer_id": customer_id,
            "card": rows("select * from identity.identity_clusters where customer_id = ?")[0],
            "identifiers": rows(
                "select identifier_type, identifier_value, first_seen_at, last_seen_at, "
                "source_count from identity.identifiers where node_key in ("
                "select node_key from identity.identity_map where is_current and customer_id = ?) "
                "order by tier, 1, 2"
            ),
            "sources": rows(
                "select source, table_name, count(*) as records from identity.record_customers "
                "where customer_id = ? group by 1, 2 order by 3 desc, 1, 2"
            ),
            "weakest_link": None
            if weakest is None
            else _step(names[weakest["node_a"]], weakest, names[weakest["node_b"]], unmask),
            "bridges": told,
            "refused": [
                _step(row["from_name"], row, row["to_name"], unmask)
                for row in _refused_of(connection, customer_id, unmask)
            ],
            "household": rows(
                "select household_id, customer_id, evidence from identity.households "
                "where household_id in "
                "(select household_id from identity.households where customer_id = ?) order by 2"
            ),
            "history": rows(
                "select recorded_at, event_type, customer_id, other_customer_id, node_count "
                "from identity.identity_events where ? in (customer_id, other_customer_id) "
                "order by event_sequence"
            ),
        }


def match_candidates(home: Home, limit: int, unmask: bool = False) -> list[dict[str, Any]]:
    """Pairs that matching found: first the admitted, from the least likely on, then the others."""
    with _published(home) as connection:
        rows = _dicts(connection, _CANDIDATES, [limit])
        return _hide(rows, unmask)


_CANDIDATES = """
select identifier_type, identifier_value, other_identifier_type, other_identifier_value,
    round(match_probability, 4) as probability, round(match_weight, 1) as weight, matched_on,
    decision
from identity.match_candidates
where decision <> 'joined by an identifier'
order by decision <> 'admitted', match_probability, node_a, node_b limit ?
"""


def _weakness(edge: dict[str, Any]) -> tuple[int, int, int]:
    """Greater where an edge says less: its tier, then how few records show it."""
    return edge["tier"], -edge["evidence_count"], edge["node_a"]


_EDGES_OF_CUSTOMER = f"""
select {_EDGE}
from identity.identity_edges
where status = 'active' and component_key in (
    select identity_components.component_key from identity.identity_components
    inner join identity.identity_map using (node_key)
    where identity_map.is_current and identity_map.customer_id = ?
)
order by node_a, node_b, rule_id
"""


def _refused_of(
    connection: duckdb.DuckDBPyConnection, customer_id: str, unmask: bool
) -> list[dict[str, Any]]:
    """Evidence from this customer to others that was refused, the first twenty."""
    found = _dicts(connection, _REFUSED_OF_CUSTOMER, [customer_id])
    nodes = {node for edge in found for node in (edge["node_a"], edge["node_b"])}
    names = _names_of(connection, nodes, unmask)
    return [
        {**edge, "from_name": names[edge["node_a"]], "to_name": names[edge["node_b"]]}
        for edge in found
    ]


_REFUSED_OF_CUSTOMER = f"""
with nodes as (
    select node_key from identity.identity_map where is_current and customer_id = ?
)
select {_EDGE}
from identity.identity_edges
where status <> 'active' and (
    node_a in (select node_key from nodes) or node_b in (select node_key from nodes)
)
order by node_a, node_b, rule_id limit 20
"""


def _pair(edge: dict[str, Any]) -> tuple[int, int]:
    return edge["node_a"], edge["node_b"]


def bridge_edges(pairs: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """For each pair the nodes of the smaller part that would fall off without it; 0 for no bridge.

    Lowest reachable places in one depth-first walk (Tarjan, 1974), without recursion since a
    customer may be a long chain. Several rules between the same two nodes are one link.
    """
    neighbours: dict[int, list[int]] = {}
    links = dict.fromkeys(pairs)
    for node_a, node_b in links:
        neighbours.setdefault(node_a, []).append(node_b)
        neighbours.setdefault(node_b, []).append(node_a)
    place: dict[int, int] = {}
    lowest: dict[int, int] = {}
    size: dict[int, int] = {}
    cut = dict.fromkeys(links, 0)
    for root in sorted(neighbours):
        if root in place:
            continue
        tree: list[tuple[int, int, int]] = []
        stack = [(root, root, iter(sorted(neighbours[root])))]
        place[root] = lowest[root] = len(place)
        size[root] = 1
        while stack:
            node, parent, rest = stack[-1]
            for neighbour in rest:
                if neighbour == parent:
                    continue
                if neighbour in place:
                    lowest[node] = min(lowest[node], place[neighbour])
                    continue
                place[neighbour] = lowest[neighbour] = len(place)
                size[neighbour] = 1
                stack.append((neighbour, node, iter(sorted(neighbours[neighbour]))))
                break
            else:
                stack.pop()
                if node != root:
                    lowest[parent] = min(lowest[parent], lowest[node])
                    size[parent] += size[node]
                    if lowest[node] > place[parent]:
                        tree.append((parent, node, size[node]))
        for parent, node, below in tree:
            pair = (parent, node) if (parent, node) in links else (node, parent)
            cut[pair] = min(below, size[root] - below)
    return cut


_NODES_OF_VALUES = """
select identifier_value, node_key, status from identity.identifiers
where identifier_value in (select unnest($1))
"""
_NODES_OF_CUSTOMERS = """
select redirects.customer_id, node_key, identifiers.status
from identity.identity_redirects as redirects
inner join identity.identity_map
    on redirects.current_customer_id = identity_map.customer_id and identity_map.is_current
inner join identity.identifiers as identifiers using (node_key)
where redirects.customer_id in (select unnest($1))
"""
_COMPONENTS_OF = """
select distinct component_key from identity.identity_components
where node_key in (select unnest($1))
"""


def _nodes_of(connection: duckdb.DuckDBPyConnection, asked: list[str]) -> list[dict[int, str]]:
    """For each identifier or customer_id the nodes that it stands for, with their status."""
    found: dict[str, dict[int, str]] = {}
    for query in (_NODES_OF_VALUES, _NODES_OF_CUSTOMERS):
        missing = [text for text in asked if text not in found]
        if not missing:
            break
        forms = sorted({form for text in missing for form in (text, text.lower())})
        rows = connection.execute(query, [forms]).fetchall()
        for text in missing:
            nodes = {row[1]: row[2] for row in rows if row[0] in (text, text.lower())}
            if nodes:
                found[text] = nodes
    for text in asked:
        if text not in found:
            raise CdpError(
                f"No source ever named {masked(text)!r} as an identifier, and no customer has "
                "this id."
            )
    return [found[text] for text in asked]


def _shared_components(
    connection: duckdb.DuckDBPyConnection, ends: list[dict[int, str]]
) -> list[int]:
    """Components that have nodes of both ends."""
    sides = [
        {row[0] for row in connection.execute(_COMPONENTS_OF, [list(end)]).fetchall()}
        for end in ends
    ]
    return sorted(set.intersection(*sides))


def _shortest(
    links: dict[int, list[dict[str, Any]]], start: set[int], goal: set[int], allowed: set[str]
) -> Path | None:
    """Breadth-first search; None where no path of allowed edges leads from start to goal."""
    if start & goal:
        return []
    came: dict[int, tuple[int, dict[str, Any]] | None] = dict.fromkeys(sorted(start))
    queue = deque(sorted(start))
    while queue:
        node = queue.popleft()
        for edge in links.get(node, []):
            if edge["status"] not in allowed:
                continue
            neighbour = edge["node_b"] if edge["node_a"] == node else edge["node_a"]
            if neighbour in came:
                continue
            came[neighbour] = (node, edge)
            if neighbour in goal:
                return _walk(came, neighbour)
            queue.append(neighbour)
    return None


def _walk(came: dict[int, tuple[int, dict[str, Any]] | None], end: int) -> Path:
    steps: Path = []
    before = came[end]
    while before is not None:
        node, edge = before
        steps.append((node, edge, end))
        end, before = node, came[node]
    return steps[::-1]


def _names_of(
    connection: duckdb.DuckDBPyConnection, nodes: set[int], unmask: bool
) -> dict[int, str]:
    rows = connection.execute(
        "select node_key, identifier_type, identifier_value from identity.identifiers "
        "where node_key in (select unnest(?))",
        [sorted(nodes)],
    ).fetchall()
    return {row[0]: f"{row[1]} {row[2] if unmask else masked(row[2])}" for row in rows}
