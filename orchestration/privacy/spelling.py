"""The identifiers that rows carry, spelled as staging spells them, from declaration and macros.

Staging's own macros write the SQL, so that an address in upper case, a phone with blanks or a
field of a web event's JSON is compared in the one spelling that identity knows.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from orchestration.checks.bare import BareMacros
from orchestration.home import PROJECT
from orchestration.landing.declarations import Source, Table
from orchestration.warehouse.base import quoted

CODES, SPELLINGS = "calling_codes", "country_spellings"
# An address within other text, that of a web page too.
ADDRESS = r"[A-Za-z0-9._+~-]+(?:@|%40)[A-Za-z0-9-]+(?:[.][A-Za-z0-9-]+)+"


@dataclass(frozen=True)
class Field:
    """A place in a row where an identifier, or the key of a row it belongs to, may stand.

    `is_evidence` tells what identity counts from what only names somebody.
    """

    column: str
    kind: str
    priority: int
    is_evidence: bool
    is_key: bool
    is_required: bool
    sql: str


@cache
def identifier_priorities() -> dict[str, int]:
    """Which of a row's identifiers says best whose it is: 1 does."""
    with (PROJECT / "seeds" / "identifier_types.csv").open(encoding="utf-8") as file:
        return {row["identifier_type"]: int(row["priority"]) for row in csv.DictReader(file)}


def reference(source: str, table: str, column: str) -> str:
    """How the key of a row that others belong to is named among identifiers."""
    return f"{source}.{table}.{column}"


def referenced_columns(declarations: Mapping[str, Source]) -> dict[str, set[str]]:
    """For each table, by label, the columns by which other tables' rows belong to it."""
    found: dict[str, set[str]] = {}
    for source in declarations.values():
        for table in source.tables.values():
            for column in table.columns:
                if parent := column.meta.get("belongs_to"):
                    name, _, key = str(parent).partition(".")
                    found.setdefault(f"{source.name}.{name}", set()).add(key)
    return found


class Spelling:
    """Writes, for a table, the SQL that finds what its rows name.

    It needs the seeds of countries in the connection it is used with.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        for name in (CODES, SPELLINGS):
            # All text: a calling code is compared by its beginning.
            connection.execute(
                f"create or replace temp table {name} as "
                "select * from read_csv(?, header = true, all_varchar = true)",
                [str(PROJECT / "seeds" / f"{name}.csv")],
            )
        self._macros = BareMacros(connection)

    def fields(self, table: Table) -> list[Field]:
        """Every place of a table's rows that may name somebody."""
        return list(self._fields(table))

    def _fields(self, table: Table) -> Iterator[Field]:
        priorities = identifier_priorities()
        for column in table.columns:
            if parent := column.meta.get("belongs_to"):
                kind = f"{table.source}.{parent}"
                text = f"cast(deliveries.{quoted(column.name)} as varchar)"
                yield Field(column.name, kind, 0, False, True, True, _select(text, text))
            for meta, spelled in self._spelled(table, column.name):
                kind = str(meta.get("identifier") or meta.get("names"))
                yield Field(
                    column.name,
                    kind,
                    priorities.get(kind, 99),
                    "identifier" in meta,
                    False,
                    column.required,
                    spelled,
                )

    def _spelled(self, table: Table, name: str) -> Iterator[tuple[Mapping[str, Any], str]]:
        """The meta and SQL of each identifier of a column, its nested fields among them."""
        column = table.column(name)
        nested = column.meta.get("fields") or []
        metas = [meta for meta in (column.meta, *nested) if "identifier" in meta or "names" in meta]
        if not metas:
            return
        node = {"columns": {name: {"name": name, "config": {"meta": dict(column.meta)}}}}
        staged = {field["as"]: field for field in self._macros.call("staged_fields", node)}
        for meta in metas:
            yield meta, self._field_sql(staged[meta.get("as", name)])

    def _field_sql(self, field: Mapping[str, Any]) -> str:
        spelled = str(self._macros.call("staged_expression", field)).strip()
        if field["normalise"] != "phone":
            return _select(str(field["expression"]), spelled)
        country = "'no country'"
        if field["country"]:
            country = str(
                self._macros.call("lower_case", self._macros.call("trimmed", field["country"]))
            )
        number = self._macros.call("normalise_phone", "spelled.digits", "codes")
        return f"""
            select spelled.row_id, spelled.raw_text, {number} as spelled_value
            from (
                select
                    deliveries.row_id,
                    {field["expression"]} as raw_text,
                    {spelled} as digits,
                    {country} as country
                from {{relation}} as deliveries
            ) as spelled
            left join {SPELLINGS} as spellings on spellings.spelling = spelled.country
            left join (
                select * replace (
                    cast(shortest_number as integer) as shortest_number,
                    cast(longest_number as integer) as longest_number
                )
                from {CODES}
            ) as codes on codes.country_code = spellings.country_code
        """

    def mentions(self, table: Table, relation: str) -> str | None:
        """SQL: one row per row and field that names something; None where no field does.

        The relation has the table's columns and a `row_id`.
        """
        parts = [
            f"select row_id, {number} as field_number, cast(raw_text as varchar) as raw_text, "
            f"cast(spelled_value as varchar) as spelled_value "
            f"from ({field.sql.replace('{relation}', relation)}) as field_{number} "
            "where trim(cast(spelled_value as varchar)) <> ''"
            for number, field in enumerate(self.fields(table))
        ]
        return "\nunion all\n".join(parts) or None


def _select(raw: str, spelled: str) -> str:
    return (
        f"select deliveries.row_id, {raw} as raw_text, {spelled} as spelled_value "
        "from {relation} as deliveries"
    )


def text_columns(table: Table) -> list[str]:
    """Columns in which an address may stand in other text."""
    return [column.name for column in table.columns if column.is_text] + ["_extra"]
