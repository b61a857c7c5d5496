"""A person's rows in the raw tables, and in the rows that belong to them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from orchestration.landing.declarations import Source, Table
from orchestration.landing.store import rejected_name
from orchestration.privacy.person import Person, has_table
from orchestration.privacy.rows import Finder, Marks, Needles, family
from orchestration.privacy.spelling import Spelling
from orchestration.privacy.tombstones import Named
from orchestration.warehouse.base import quoted

CHOSEN = "privacy_chosen"


@dataclass(frozen=True)
class RawFinder:
    """Looks for one person in the raw tables of a warehouse that is attached as `old`."""

    connection: duckdb.DuckDBPyConnection
    spelling: Spelling
    declarations: Mapping[str, Source]

    @classmethod
    def on(
        cls, connection: duckdb.DuckDBPyConnection, declarations: Mapping[str, Source]
    ) -> "RawFinder":
        return cls(connection, Spelling(connection), declarations)

    def needles(self, person: Person) -> Needles:
        codes = self.connection.execute("select calling_code from calling_codes").fetchall()
        return Needles(person.identifiers, {str(code) for (code,) in codes})

    def finder(self, person: Person) -> Finder:
        named = person.named
        return Finder(
            self.connection,
            self.spelling,
            lambda kind, value: (kind, value) in named,
            self.needles(person),
        )

    def tables(self) -> Iterator[tuple[Table, set[str]]]:
        """The declared tables that there are, with the columns by which others belong to them."""
        for table, keys in family(self.declarations):
            if has_table(self.connection, table.schema, table.name):
                yield table, keys

    def marks(self, person: Person) -> Iterator[tuple[Table, Marks]]:
        finder = self.finder(person)
        for table, _ in self.tables():
            yield table, finder.marks(table, relation(table))

    def with_rows(self, person: Person) -> tuple[Person, frozenset[Named]]:
        """The person with the keys of all rows that are theirs, and what must be remembered.

        To be remembered are keys that rows of other tables name, and keys of rows that carry
        no identifier which says by itself whose they are.
        """
        remembered: set[Named] = set()
        while True:
            before = person.references
            finder = self.finder(person)
            for table, keys in self.tables():
                marks = finder.marks(table, relation(table))
                if marks.dropped and keys:
                    with chosen(self.connection, marks.dropped):
                        person = person.with_references(
                            finder.keys_of(table, of_chosen(table), keys)
                        )
                if marks.by_key_alone:
                    with chosen(self.connection, marks.by_key_alone):
                        remembered |= own_keys(self.connection, table)
            if person.references == before:
                return person, frozenset(remembered) | person.references

    def rejected(self, person: Person, table: Table) -> set[int]:
        """Rejected rows that name the person, by row id."""
        name = rejected_name(table.name)
        if not has_table(self.connection, table.schema, name):
            return set()
        needles = self.needles(person)
        values = {value for _, value in person.identifiers}
        rows = self.connection.execute(
            f"select rowid, raw_text, message from old.{quoted(table.schema)}.{quoted(name)}"
        ).fetchall()
        return {
            row_id
            for row_id, *texts in rows
            if names(" ".join(filter(None, texts)), needles, values)
        }


def names(text: str, needles: Needles, values: set[str]) -> bool:
    """Whether a text that is no row names the person: in other text, or as one of its words."""
    from orchestration.privacy.guard import WORDS

    return bool(needles.found_in(text)) or not values.isdisjoint(WORDS.split(text))


def relation(table: Table) -> str:
    """A raw table as a finder reads it."""
    return f"(select *, rowid as row_id from old.{quoted(table.schema)}.{quoted(table.name)})"


def of_chosen(table: Table) -> str:
    """The rows of a raw table that were put into `chosen`."""
    return f"(select * from {relation(table)} semi join {CHOSEN} using (row_id))"


@contextmanager
def chosen(connection: duckdb.DuckDBPyConnection, row_ids: set[int]) -> Iterator[None]:
    """Row ids as a relation, for a block."""
    connection.register(CHOSEN, pa.table({"row_id": pa.array(sorted(row_ids), pa.int64())}))
    try:
        yield
    finally:
        connection.unregister(CHOSEN)


def own_keys(connection: duckdb.DuckDBPyConnection, table: Table) -> set[Named]:
    """The keys of the chosen rows of a table."""
    from orchestration.privacy.rows import key_expression

    rows = connection.execute(
        f"select distinct {key_expression(table)} from {of_chosen(table)}"
    ).fetchall()
    return {(table.label, row[0]) for row in rows}
