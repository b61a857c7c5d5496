"""Which rows are a person's, and which only name one: the first go, the second are emptied.

A row is the person's when its strongest identifier is theirs (as identity gives a record to the
customer of its strongest identifier), when a column names them as whom it is about, or when it
belongs to a row that is theirs. Where the row is somebody else's and a weaker identifier or a
text in it is the person's, that text alone is taken out: a family's order keeps its other half.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.landing.declarations import Source, Table
from orchestration.privacy.spelling import (
    ADDRESS,
    Field,
    Spelling,
    reference,
    referenced_columns,
    text_columns,
)
from orchestration.privacy.tombstones import Named
from orchestration.warehouse.base import quoted

# A shorter text is a number among numbers: it is looked for in declared columns alone.
DISTINCTIVE = 9
SHORTEST_NUMBER = 6
# The national part of a phone, by which it is known in other text where only hashes are.
NATIONAL = "phone_in_text"
TYPED_NUMBER = "[+(]?[0-9][0-9 .()/-]{5,20}[0-9]"
ROWS = "privacy_rows"
_NO_DIGITS = re.compile(r"[^0-9]+")
Matches = Callable[[str, str], bool]


class Needles:
    """A person's values as they may stand in other text: addresses, phones, long ids, hashes."""

    def __init__(self, named: Iterable[Named], calling_codes: Iterable[str] = ()) -> None:
        codes = list(calling_codes)
        self.texts: list[str] = []
        patterns: list[str] = []
        self.digits: list[str] = []
        for kind, value in sorted(set(named)):
            if kind == "email":
                self.texts.append(value)
                patterns.append(re.escape(value).replace("@", "(?:@|%40)"))
            elif kind == "phone" and value.startswith("+"):
                code, national = split_number(value, codes)
                self.texts.append(value[1:])
                self.digits.append(national)
                patterns.append(_typed_phone(code, national))
            elif "." in kind:
                # The key of a row, which means something in its own column alone.
                continue
            else:
                for text in {value, value.rpartition(":")[2]}:
                    if len(text) >= DISTINCTIVE:
                        self.texts.append(text)
                        patterns.append(re.escape(text))
            if kind in ("email", "phone"):
                for text in {value, value.removeprefix("+")}:
                    hashed = hashlib.sha256(text.encode()).hexdigest()
                    self.texts.append(hashed)
                    patterns.append(hashed)
        self._lowered = [text.lower() for text in self.texts]
        self._pattern = (
            re.compile(
                rf"(?<![A-Za-z0-9])(?:{'|'.join(patterns)})(?![A-Za-z0-9-]|[.][A-Za-z0-9])",
                re.IGNORECASE,
            )
            if patterns
            else None
        )

    def __bool__(self) -> bool:
        return self._pattern is not None

    def found_in(self, text: str) -> set[str]:
        """The spellings of the person's values in a text."""
        if not self._may_be_in(text):
            return set()
        return {
            match[0]
            for match in (self._pattern.finditer(text) if self._pattern else ())
            if not _is_within_address(text, match)
        }

    def _may_be_in(self, text: str) -> bool:
        """A quick look: files of megabytes are looked through, nearly all for nothing."""
        lowered = text.lower()
        if any(each in lowered or each.replace("@", "%40") in lowered for each in self._lowered):
            return True
        digits = _NO_DIGITS.sub("", text) if self.digits else ""
        return any(each in digits for each in self.digits)

    def condition(self, text: str) -> str:
        """SQL that is true where a text may hold one; `found_in` then says whether it does."""
        looks = [f"contains(lower({text}), {_literal(each.lower())})" for each in self.texts]
        looks += [
            f"contains(lower({text}), {_literal(each.lower().replace('@', '%40'))})"
            for each in self.texts
            if "@" in each
        ]
        looks += [
            f"contains(regexp_replace({text}, '[^0-9]', '', 'g'), {_literal(digits)})"
            for digits in self.digits
        ]
        return " or ".join(looks) or "false"


def split_number(value: str, codes: Iterable[str]) -> tuple[str, str]:
    """The country's code and the rest of a number in the international form."""
    for code in sorted(codes, key=len, reverse=True):
        if value[1:].startswith(code):
            return code, value[1 + len(code) :]
    return "", value[1:]


def national_forms(typed: str, codes: Iterable[str]) -> set[str]:
    """What the national part of a number may be that somebody typed in other text."""
    digits = re.sub(r"[^0-9]", "", typed)
    forms = {digits.lstrip("0")}
    for text in (digits, digits.removeprefix("00")):
        forms |= {text[len(code) :].lstrip("0") for code in codes if text.startswith(code)}
    return {form for form in forms if len(form) >= SHORTEST_NUMBER}


def _typed_phone(code: str, national: str) -> str:
    """A number with or without its country, and with signs between its digits."""
    between = "[ .()/-]{0,3}"
    digits = between.join(national)
    return rf"(?:(?:\+|00)?{between}{code}{between})?(?:\(?0\)?{between})?{digits}"


def _is_within_address(text: str, match: re.Match[str]) -> bool:
    """Whether what matched is the end of a longer address: ann@x within jo.ann@x."""
    return bool("@" in match[0] and match.start() and text[match.start() - 1] in "._+-~")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass
class Marks:
    """What was found in a relation, by `row_id`."""

    dropped: set[Any] = field(default_factory=set)
    # The dropped that only their own key gives away: it must be remembered to keep them out.
    by_key_alone: set[Any] = field(default_factory=set)
    # For rows that stay: column -> texts to take out, and texts to take out wherever they stand.
    emptied: dict[Any, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(dict))
    texts: dict[Any, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def touched(self) -> set[Any]:
        return self.dropped | self.changed

    @property
    def changed(self) -> set[Any]:
        """Rows that stay with something taken out."""
        return (self.emptied.keys() | self.texts.keys()) - self.dropped

    def __bool__(self) -> bool:
        return bool(self.dropped or self.emptied or self.texts)


@dataclass(frozen=True)
class Finder:
    """Finds a person's rows by what a predicate says of identifiers.

    `needles` is given where the values are known (an erasure); where only their hashes are (a
    landing), addresses in texts are looked up one by one.
    """

    connection: duckdb.DuckDBPyConnection
    spelling: Spelling
    matches: Matches
    needles: Needles | None = None
    calling_codes: frozenset[str] = frozenset()

    def marks(self, table: Table, relation: str) -> Marks:
        """The person's rows in a relation that has the table's columns, `_extra`, `row_id`."""
        marks = Marks()
        with_valid_json = ", ".join(
            f"case when json_valid({quoted(column.name)}) then {quoted(column.name)} end "
            f"as {quoted(column.name)}"
            for column in table.columns
            if column.format == "json"
        )
        replaced = f" replace ({with_valid_json})" if with_valid_json else ""
        self.connection.execute(
            f"create or replace temp view {ROWS} as select *{replaced} from {relation}"
        )
        self._mark_mentions(table, marks)
        self._mark_own_keys(table, marks)
        self._mark_texts(table, relation, marks)
        return marks

    def keys_of(self, table: Table, relation: str, columns: Iterable[str]) -> set[Named]:
        """The keys of rows that others belong to, as identifiers."""
        found: set[Named] = set()
        for column in sorted(columns):
            rows = self.connection.execute(
                f"select distinct cast({quoted(column)} as varchar) from {relation} "
                f"where {quoted(column)} is not null"
            ).fetchall()
            found |= {(reference(table.source, table.name, column), row[0]) for row in rows}
        return found

    def _mark_mentions(self, table: Table, marks: Marks) -> None:
        sql = self.spelling.mentions(table, ROWS)
        if sql is None:
            return
        fields = self.spelling.fields(table)
        self.connection.execute(f"create or replace temp table privacy_mentions as {sql}")
        distinct = self.connection.execute(
            "select distinct field_number, spelled_value from privacy_mentions"
        ).fetchall()
        hits = [row for row in distinct if self.matches(fields[row[0]].kind, row[1])]
        if not hits:
            return
        named = pa.table(
            {
                "field_number": pa.array([row[0] for row in hits], pa.int32()),
                "spelled_value": pa.array([row[1] for row in hits], pa.string()),
            }
        )
        self.connection.register("privacy_hits", named)
        rows = self.connection.execute(
            """
            select mentions.row_id, mentions.field_number, mentions.raw_text,
                hits.field_number is not null as is_hit
            from privacy_mentions as mentions
            left join privacy_hits as hits
                on mentions.field_number = hits.field_number
                and mentions.spelled_value = hits.spelled_value
            where mentions.row_id in (
                select row_id from privacy_mentions semi join privacy_hits
                using (field_number, spelled_value)
            )
            """
        ).fetchall()
        self.connection.unregister("privacy_hits")
        by_row: dict[Any, list[tuple[Field, str, bool]]] = defaultdict(list)
        for row_id, number, raw_text, is_hit in rows:
            by_row[row_id].append((fields[number], raw_text, is_hit))
        for row_id, mentions in by_row.items():
            if is_about(mentions):
                marks.dropped.add(row_id)
                continue
            for place, raw_text, is_hit in mentions:
                if is_hit:
                    marks.emptied[row_id].setdefault(place.column, set()).add(raw_text)

    def _mark_own_keys(self, table: Table, marks: Marks) -> None:
        """Rows that identity gave to the person though no strongest identifier says so."""
        if not table.key:
            return
        rows = self.connection.execute(
            f"select row_id, {key_expression(table)} from {ROWS}"
        ).fetchall()
        own = {row_id for row_id, key in rows if key and self.matches(table.label, key)}
        marks.by_key_alone |= own - marks.dropped
        marks.dropped |= own

    def _mark_texts(self, table: Table, relation: str, marks: Marks) -> None:
        listed = ", ".join(map(quoted, text_columns(table)))
        text = f"concat_ws(chr(31), {listed})"
        if self.needles is not None:
            if not self.needles:
                return
            required = [c.name for c in table.columns if c.required and c.is_text]
            cells = ", ".join(map(quoted, required)) or "null"
            rows = self.connection.execute(
                f"select row_id, {text}, {cells} from {relation} "
                f"where {self.needles.condition(text)}"
            ).fetchall()
            for row_id, found, *given in rows:
                if spelled := self.needles.found_in(found):
                    marks.texts[row_id] |= spelled
                    # A whole cell that must be given: a third party's row about the person.
                    if row_id not in marks.dropped and spelled.intersection(given):
                        marks.dropped.add(row_id)
                        marks.by_key_alone.add(row_id)
            return
        known: dict[str, bool] = {}
        for pattern in (ADDRESS, TYPED_NUMBER):
            rows = self.connection.execute(
                f"select row_id, regexp_extract_all({text}, {_literal(pattern)}) as found "
                f"from {relation} where len(found) > 0"
            ).fetchall()
            for row_id, found in rows:
                for typed in found:
                    if typed not in known:
                        known[typed] = self._is_of_erased(typed)
                    if known[typed]:
                        marks.texts[row_id].add(typed)

    def _is_of_erased(self, typed: str) -> bool:
        """Whether an address or a number in some text is one of which only the hash is known."""
        address = typed.lower().replace("%40", "@")
        if "@" in address:
            return self.matches("email", address)
        forms = national_forms(typed, self.calling_codes)
        return any(self.matches(NATIONAL, form) for form in forms)


def is_about(mentions: list[tuple[Field, str, bool]]) -> bool:
    """Whether a row with these identifiers is the person's, hits being theirs."""
    for place, _, is_hit in mentions:
        # What must be given cannot be emptied.
        if is_hit and (place.is_key or not place.is_evidence or place.is_required):
            return True
    strongest = min((place.priority for place, _, _ in mentions if place.is_evidence), default=0)
    return any(is_hit and place.priority == strongest for place, _, is_hit in mentions)


def key_expression(table: Table) -> str:
    """A row's key as identity's records have it."""
    listed = ", ".join(f"cast({quoted(column)} as varchar)" for column in table.key)
    return listed if len(table.key) == 1 else f"concat_ws('|', {listed})"


def emptied(text: str, raws: Iterable[str]) -> str | None:
    """A cell without identifiers, which may stand within JSON."""
    listed = sorted(raws, key=len, reverse=True)
    if text in listed:
        return None
    try:
        content = json.loads(text) if text[:1] in "{[" else None
    except ValueError:
        content = None
    if content is not None:
        return json.dumps(
            _without(content, listed), ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
    for raw in listed:
        text = text.replace(raw, "")
    return text or None


def _without(content: Any, raws: list[str]) -> Any:
    """JSON in which what stood for these texts is null, or missing from a longer text."""
    if isinstance(content, dict):
        return {name: _without(value, raws) for name, value in content.items()}
    if isinstance(content, list):
        return [_without(value, raws) for value in content]
    if isinstance(content, bool) or content is None:
        return content
    text = str(content)
    if text in raws:
        return None
    if isinstance(content, str):
        for raw in raws:
            if len(raw) >= DISTINCTIVE:
                text = text.replace(raw, "")
        return text
    return content


def changed_row(
    marks: Marks, row_id: Any, values: Mapping[str, str | None]
) -> dict[str, str | None]:
    """A row that stays, without what is the person's."""
    changed = dict(values)
    for column, raws in marks.emptied.get(row_id, {}).items():
        if text := changed.get(column):
            changed[column] = emptied(text, raws)
    for column, text in changed.items():
        if text:
            for spelled in marks.texts.get(row_id, ()):
                text = text.replace(spelled, "")
            changed[column] = text or None
    return changed


def family(declarations: Mapping[str, Source]) -> list[tuple[Table, set[str]]]:
    """Every table with the columns by which other tables belong to it."""
    referenced = referenced_columns(declarations)
    return [
        (table, referenced.get(table.label, set()))
        for source in declarations.values()
        for table in source.tables.values()
    ]
