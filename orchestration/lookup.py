"""Looking people up in the published file: one customer's card, and why two are one."""

from collections import deque
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
}


def _hide(rows: list[dict[str, Any]], unmask: bool) -> list[dict[str, Any]]:
    if unmask:
        return rows
    return [
        {
            name: (masked(str(value)) if name in HIDDEN and value is not None else value)
            for name, value in row.items()
        }
        for row in rows
    ]


def read_profile(home: Home, identifier: str, unmask: bool = False) -> dict[str, Any]:
    """All that a card shows of one customer; personal values masked unless asked for."""
    with _published(home) as connection:
        customer_id = _one_customer(connection, identifier)

        def rows(query: str) -> list[dict[str, Any]]:
            return _hide(_dicts(connection, query, [customer_id]), unmask)

        return {
            "customer_id": customer_id,
            "golden_record": rows("select * from profile.customers where customer_id = ?")[0],
            "metrics": rows("select * from metrics.customer_metrics where customer_id = ?")[0],
            "identifiers": rows(
                "select identifier_type, identifier_value, first_seen_at, last_seen_at "
                "from profile.customer_identifiers where customer_id = ? order by tier, 1, 2"
            ),
            "permissions": rows(
                "select contact_point_type, contact_point, channel, purpose, is_permitted, reason "
                "from profile.contact_permissions where customer_id = ? order by 1, 2, 3, 4"
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


def explain(home: Home, one: str, other: str, unmask: bool = False) -> dict[str, Any]:
    """The shortest path of evidence between two identifiers, or what keeps them apart."""
    with _published(home) as connection:
        ends = [_nodes_of(connection, text) for text in (one, other)]
        quarantined = _hide(_dicts(connection, _QUARANTINED, [[*ends[0], *ends[1]]]), unmask)
        links: dict[int, list[dict[str, Any]]] = {}
        for edge in _dicts(connection, _EDGES_NEAR, [[*ends[0], *ends[1]]]):
            links.setdefault(edge["node_a"], []).append(edge)
            links.setdefault(edge["node_b"], []).append(edge)
        for allowed in ({"active"}, {"active", "refused"}):
            path = _shortest(links, set(ends[0]), set(ends[1]), allowed)
            if path is not None:
                names = _names(connection, path, unmask)
                return {
                    "is_linked": allowed == {"active"},
                    "steps": [
                        {
                            "from": names[start],
                            "to": names[end],
                            "rule": edge["rule_id"],
                            "records": edge["evidence_count"],
                            "first_seen_at": edge["first_seen_at"],
                            "last_seen_at": edge["last_seen_at"],
                            "status": edge["status"],
                            "reason": edge["status_reason"],
                        }
                        for start, edge, end in path
                    ],
                    "quarantined": quarantined,
                }
        return {"is_linked": False, "steps": [], "quarantined": quarantined}


_QUARANTINED = """
select distinct quarantine.reason, quarantine.identifier_type, quarantine.identifier_value,
    quarantine.observed_value, quarantine.limit_value
from identity.identity_quarantine as quarantine
inner join identity.identifiers as identifiers using (identifier_type, identifier_value)
where quarantine.released_at is null and identifiers.node_key in (select unnest(?))
order by 1, 2, 3
"""


# Evidence within the components of both ends and the refused edges that leave them.
_EDGES_NEAR = """
with components as (
    select distinct component_key from identity.identity_components
    where node_key in (select unnest(?))
),
nodes as (
    select node_key from identity.identity_components
    where component_key in (select component_key from components)
)
select node_a, node_b, rule_id, evidence_count, first_seen_at, last_seen_at, status, status_reason
from identity.identity_edges
where node_a in (select node_key from nodes) or node_b in (select node_key from nodes)
order by status, node_a, node_b, rule_id
"""


def _nodes_of(connection: duckdb.DuckDBPyConnection, text: str) -> list[int]:
    rows = connection.execute(
        "select node_key from identity.identifiers "
        "where identifier_value = ? or identifier_value = lower(?) "
        "union select node_key from identity.identity_map "
        "where is_current and customer_id = ?",
        [text.strip(), text.strip(), text.strip()],
    ).fetchall()
    if not rows:
        raise CdpError(f"No source ever named {masked(text)!r} as an identifier.")
    return [row[0] for row in rows]


def _shortest(
    links: dict[int, list[dict[str, Any]]], start: set[int], goal: set[int], allowed: set[str]
) -> list[tuple[int, dict[str, Any], int]] | None:
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


def _walk(
    came: dict[int, tuple[int, dict[str, Any]] | None], end: int
) -> list[tuple[int, dict[str, Any], int]]:
    steps = []
    before = came[end]
    while before is not None:
        node, edge = before
        steps.append((node, edge, end))
        end, before = node, came[node]
    return steps[::-1]


def _names(
    connection: duckdb.DuckDBPyConnection,
    path: list[tuple[int, dict[str, Any], int]],
    unmask: bool,
) -> dict[int, str]:
    keys = sorted({node for start, _, end in path for node in (start, end)})
    rows = connection.execute(
        "select node_key, identifier_type, identifier_value from identity.identifiers "
        "where node_key in (select unnest(?))",
        [keys],
    ).fetchall()
    return {row[0]: f"{row[1]} {row[2] if unmask else masked(row[2])}" for row in rows}
