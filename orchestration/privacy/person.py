"""Whom a request is about: an identifier as a person typed it, and all that stands for them."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import duckdb

from orchestration.errors import CdpError
from orchestration.lookup import masked
from orchestration.privacy.spelling import identifier_priorities
from orchestration.privacy.tombstones import Named

Strategy = Literal["connected", "exact"]
CUSTOMER = "customer_id"


@dataclass(frozen=True)
class Person:
    """A person as their identifiers; `named` also holds keys of their records and rows."""

    identifiers: frozenset[Named] = field(repr=False)
    customer_ids: frozenset[str] = frozenset()
    node_keys: frozenset[int] = field(default=frozenset(), repr=False)
    # Keys of source records that identity gave to the person, by source and table.
    records: frozenset[Named] = field(default=frozenset(), repr=False)
    # Keys of rows that were found theirs, to which rows of other tables belong.
    references: frozenset[Named] = field(default=frozenset(), repr=False)

    @property
    def named(self) -> frozenset[Named]:
        """All that a row may name this person by."""
        return self.identifiers | self.records | self.references

    def with_references(self, found: Iterable[Named]) -> "Person":
        return replace(self, references=self.references | frozenset(found))

    def dump(self) -> str:
        """As text, to be kept encrypted while an erasure is not finished."""
        return json.dumps({name: sorted(values) for name, values in vars(self).items()})

    @classmethod
    def load(cls, text: str) -> "Person":
        told = json.loads(text)
        named = {
            name: frozenset((kind, value) for kind, value in told[name])
            for name in ("identifiers", "records", "references")
        }
        return cls(
            customer_ids=frozenset(told["customer_ids"]),
            node_keys=frozenset(told["node_keys"]),
            **named,
        )


def forms_of(text: str) -> list[str]:
    """How an identifier that somebody typed may be spelled in identity."""
    typed = text.strip()
    forms = {typed, typed.lower(), typed.upper()}
    digits = re.sub(r"[^0-9+]", "", typed)
    if len(digits) >= 8 and re.fullmatch(r"[0-9+ ().\-/]+", typed):
        forms |= {"+" + digits.removeprefix("00").replace("+", ""), digits}
    return sorted(forms)


def known_kinds() -> list[str]:
    """Kinds of identifiers by which a person may be asked for."""
    return [*identifier_priorities(), CUSTOMER]


def has_table(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    found = connection.execute(
        "select 1 from information_schema.tables "
        "where table_catalog = 'old' and table_schema = ? and table_name = ?",
        [schema, table],
    ).fetchone()
    return found is not None


def find_person(
    connection: duckdb.DuckDBPyConnection,
    text: str,
    strategy: Strategy = "connected",
    kind: str | None = None,
) -> Person | None:
    """The person an identifier stands for in the warehouse; None where nobody has it."""
    if not has_table(connection, "identity", "identity_redirects"):
        raise CdpError(
            "There is no finished build, so nobody can be looked up: `cdp run` first, or run an "
            "erasure that was cut short again (`cdp privacy status`)."
        )
    forms = forms_of(text)
    nodes = {
        (row[0], row[1]): row[2]
        for row in connection.execute(
            """
            select identifier_type, identifier_value, node_key from old.identity.identifiers
            where identifier_value in (select unnest($1))
            union
            select identifier_type, identifier_value, node_key from old.identity.identity_map
            where identifier_value in (select unnest($1))
            """,
            [forms],
        ).fetchall()
        if kind in (None, row[0])
    }
    customers = _customers(connection, forms if kind in (None, CUSTOMER) else [], nodes.values())
    if not nodes and not customers:
        return None
    if len(customers) > 1 or (len({name for name, _ in nodes}) > 1 and kind is None):
        kinds = sorted({name for name, _ in nodes})
        raise CdpError(
            f"{masked(text)!r} stands for more than one identifier or customer "
            f"({', '.join(kinds or sorted(customers))}): say which with --type."
        )
    if strategy == "exact":
        if not nodes:
            raise CdpError("A customer_id stands for all identifiers: give --strategy connected.")
        return Person(frozenset(nodes), frozenset(), frozenset(nodes.values()))
    return _connected(connection, nodes, sorted(customers))


def _customers(
    connection: duckdb.DuckDBPyConnection, forms: list[str], nodes: Iterable[int]
) -> set[str]:
    rows = connection.execute(
        """
        select current_customer_id from old.identity.identity_redirects
        where customer_id in (select unnest($1)) and current_customer_id is not null
        union
        select customer_id from old.identity.identity_map
        where is_current and node_key in (select unnest($2::bigint[]))
        """,
        [forms, list(nodes)],
    ).fetchall()
    return {row[0] for row in rows}


def _connected(
    connection: duckdb.DuckDBPyConnection, nodes: dict[Named, int], customers: list[str]
) -> Person:
    """All identifiers of a customer: those it has, and those it had that are nobody else's now.

    An identifier that expired before it was ever given to a customer is theirs by the evidence
    that expired with it.
    """
    ids = {
        row[0]
        for row in connection.execute(
            "select customer_id from old.identity.identity_redirects "
            "where current_customer_id in (select unnest($1))",
            [customers],
        ).fetchall()
    } | set(customers)
    rows = connection.execute(
        """
        with held as (
            select distinct identifier_type, identifier_value, node_key
            from old.identity.identity_map
            where customer_id in (select unnest($1))
        ),
        others as (
            select node_key from old.identity.identity_map
            where is_current and customer_id not in (select unnest($1))
        ),
        theirs as (select * from held anti join others using (node_key)),
        expired as (
            select identifiers.identifier_type, identifiers.identifier_value, identifiers.node_key
            from old.identity.identifiers as identifiers
            inner join old.identity.identity_edges as edges
                on identifiers.node_key in (edges.node_a, edges.node_b)
            where
                identifiers.status = 'expired'
                and edges.status = 'expired'
                and (
                    edges.node_a in (select node_key from theirs)
                    or edges.node_b in (select node_key from theirs)
                )
        )
        select * from theirs
        union
        select expired.* from expired anti join others using (node_key)
        """,
        [sorted(ids)],
    ).fetchall()
    found = {(row[0], row[1]): row[2] for row in rows} | nodes
    records: list[tuple[Any, ...]] = []
    if has_table(connection, "identity", "record_customers"):
        records = connection.execute(
            "select source || '.' || table_name, record_key from old.identity.record_customers "
            "where customer_id in (select unnest($1))",
            [sorted(ids)],
        ).fetchall()
    return Person(
        frozenset(found),
        frozenset(ids),
        frozenset(found.values()),
        frozenset((row[0], row[1]) for row in records),
    )
