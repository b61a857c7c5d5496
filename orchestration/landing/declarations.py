"""What each source promises: its tables, columns, types, keys and rules, read from the YAML
that dbt reads too, so that landing, staging and checks can never disagree."""

import csv
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from orchestration.errors import CdpError

SIMPLE_TYPES = {
    "string": "varchar",
    "bigint": "bigint",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
DECIMAL = re.compile(r"decimal\((\d{1,2}),\s*(\d{1,2})\)")
MODES = ("files", "schema")
INTERNAL = "internal"
SOURCE_META = {"mode", "currency"}
TABLE_META = {"key", "version", "deleted", "observed_at", "rules"}
FORMATS = {"json": "string", "epoch_milliseconds": "timestamp"}
COLUMN_META = {
    "required",
    "as",
    "normalise",
    "country",
    "accepted",
    "seed",
    "min",
    "max",
    "format",
    "identifier",
    "contains_pii",
    "fields",
    "type",
    "also",
    "scope",
    "when",
    "clock",
    "names",
    "belongs_to",
}
# A source that the platform writes itself: the loader's books, the installation's salt.
INTERNAL = "internal"
RULE_KEYS = {"name", "column", "expression", "message"}
OVERRIDE_KEYS = {"mode", "schema", "currency"}


class DeclarationError(CdpError):
    """A declaration that cannot be followed; names the file, the table and the key."""


@dataclass(frozen=True)
class Column:
    """One declared column, in the source's own spelling."""

    name: str
    data_type: str
    required: bool = False
    accepted: tuple[str, ...] = ()
    seed: str | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    format: str | None = None
    contains_pii: bool = False
    also: tuple[str, ...] = ()
    description: str = ""
    # All that the YAML says of it, as staging's macros read it.
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def sql_type(self) -> str:
        return SIMPLE_TYPES.get(self.data_type, self.data_type)

    @property
    def is_text(self) -> bool:
        return self.data_type == "string"

    @property
    def is_number(self) -> bool:
        return self.data_type in ("bigint", "double") or self.data_type.startswith("decimal")

    @property
    def is_time(self) -> bool:
        return self.data_type in ("date", "timestamp")


@dataclass(frozen=True)
class Rule:
    """A rule over several columns; a null result passes."""

    name: str
    expression: str
    message: str
    column: str | None = None


@dataclass(frozen=True)
class Table:
    """One declared table of a source."""

    source: str
    name: str
    schema: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    deleted: str | None = None
    observed_at: str | None = None
    rules: tuple[Rule, ...] = ()
    description: str = ""

    @property
    def label(self) -> str:
        return f"{self.source}.{self.name}"

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def fingerprint(self) -> str:
        """Changes when the declaration does, so that a refused file is then tried again."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Source:
    """One declared source and how it arrives."""

    name: str
    schema: str
    tables: Mapping[str, Table]
    mode: str = "files"
    currency: str | None = None
    connector_schema: str | None = None
    description: str = ""


def load_declarations(project: Path, home_root: Path | None = None) -> dict[str, Source]:
    """All sources declared under `models/staging`, with the installation's own settings.

    `home_root` is `CDP_HOME`; its `sources.yml`, if any, says how a source arrives there.
    """
    seeds = _Seeds(project / "seeds")
    sources: dict[str, Source] = {}
    files = sorted((project / "models" / "staging").glob("*/_*__sources.yml"))
    if not files:
        raise DeclarationError(f"No source is declared: {project}/models/staging has no sources.")
    for path in files:
        where = str(path.relative_to(project))
        for declared in _read_yaml(path, where).get("sources") or []:
            if ((declared.get("config") or {}).get("meta") or {}).get("mode") == INTERNAL:
                continue
            if _is_internal(declared):
                continue
            source = _source(declared, where, seeds)
            if source.name in sources:
                raise DeclarationError(f"{where}: source {source.name} is declared twice.")
            sources[source.name] = source
    if home_root is not None:
        _override(sources, home_root / "sources.yml")
    return sources


class _Seeds:
    """The accepted values that a seed's column holds; each file is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, tuple[str, ...]] = {}

    def values(self, reference: str, where: str) -> tuple[str, ...]:
        if reference not in self.known:
            seed, _, column = reference.partition(".")
            path = self.folder / f"{seed}.csv"
            if not path.exists():
                raise DeclarationError(f"{where}: seed {reference} names no file {seed}.csv.")
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                if column not in (reader.fieldnames or []):
                    raise DeclarationError(f"{where}: {seed}.csv has no column {column!r}.")
                values = {row[column] for row in reader if row[column]}
            self.known[reference] = tuple(sorted(values))
        return self.known[reference]


def _read_yaml(path: Path, where: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DeclarationError(f"{where}: not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise DeclarationError(f"{where}: expected a mapping at the top.")
    return content


def _meta(node: Mapping[str, Any], allowed: set[str], where: str) -> dict[str, Any]:
    meta = (node.get("config") or {}).get("meta") or {}
    for key in meta:
        if key not in allowed:
            raise DeclarationError(
                f"{where}: unknown key {key!r}. Known keys: {', '.join(sorted(allowed))}."
            )
    return dict(meta)


def _is_internal(declared: Mapping[str, Any]) -> bool:
    """Tables that the platform writes itself: dbt reads them, nothing lands in them."""
    meta = (declared.get("config") or {}).get("meta") or {}
    return meta.get("mode") == INTERNAL


def _source(declared: Mapping[str, Any], where: str, seeds: _Seeds) -> Source:
    name = str(declared.get("name") or "")
    if not name:
        raise DeclarationError(f"{where}: a source has no name.")
    here = f"{where}, source {name}"
    meta = _meta(declared, SOURCE_META, here)
    mode = meta.get("mode", "files")
    if mode not in MODES:
        raise DeclarationError(f"{here}: mode {mode!r} is not one of {', '.join(MODES)}.")
    schema = str(declared.get("schema") or f"raw_{name}")
    tables: dict[str, Table] = {}
    for node in declared.get("tables") or []:
        table = _table(node, name, schema, here, seeds)
        if table.name in tables:
            raise DeclarationError(f"{here}: table {table.name} is declared twice.")
        tables[table.name] = table
    return Source(
        name=name,
        schema=schema,
        tables=tables,
        mode=mode,
        currency=meta.get("currency"),
        description=str(declared.get("description") or "").strip(),
    )


def _table(node: Mapping[str, Any], source: str, schema: str, where: str, seeds: _Seeds) -> Table:
    name = str(node.get("name") or "")
    here = f"{where}, table {name or '(without a name)'}"
    if not name:
        raise DeclarationError(f"{here}: give it a name.")
    meta = _meta(node, TABLE_META, here)
    columns = tuple(_column(column, here, seeds) for column in node.get("columns") or [])
    if not columns:
        raise DeclarationError(f"{here}: no columns are declared.")
    names = [column.name for column in columns]
    spellings = [*names, *(other for column in columns for other in column.also)]
    folded = [column.lower() for column in spellings]
    for column in spellings:
        if folded.count(column.lower()) > 1:
            raise DeclarationError(f"{here}: column {column} is declared twice.")

    def known(key: str, given: object) -> tuple[str, ...]:
        listed = given if isinstance(given, list) else [given] if given else []
        for item in listed:
            if item not in names:
                raise DeclarationError(f"{here}: {key} names {item!r}, which is no column of it.")
        return tuple(listed)

    rules = []
    for rule in meta.get("rules") or []:
        if set(rule) - RULE_KEYS or not {"name", "expression", "message"} <= set(rule):
            raise DeclarationError(
                f"{here}: a rule needs name, expression and message, and may have column."
            )
        known("rules.column", rule.get("column"))
        rules.append(Rule(**{key: str(value) for key, value in rule.items()}))
    deleted = known("deleted", meta.get("deleted"))
    return Table(
        source=source,
        name=name,
        schema=schema,
        columns=columns,
        key=known("key", meta.get("key")),
        version=known("version", meta.get("version")),
        deleted=deleted[0] if deleted else None,
        observed_at=meta.get("observed_at"),
        rules=tuple(rules),
        description=str(node.get("description") or "").strip(),
    )


def _column(node: Mapping[str, Any], where: str, seeds: _Seeds) -> Column:
    name = str(node.get("name") or "")
    here = f"{where}, column {name or '(without a name)'}"
    if not name:
        raise DeclarationError(f"{here}: give it a name.")
    if name.startswith("_") and name.lower() in RESERVED:
        raise DeclarationError(f"{here}: the name belongs to the loader; rename the column.")
    data_type = str(node.get("data_type") or "").strip().lower()
    if data_type not in SIMPLE_TYPES and not _is_decimal(data_type):
        raise DeclarationError(
            f"{here}: data_type {node.get('data_type')!r} is unknown; use "
            f"{', '.join(SIMPLE_TYPES)} or decimal(p,s)."
        )
    meta = _meta(node, COLUMN_META, here)
    accepted = tuple(str(value) for value in meta.get("accepted") or ())
    seed = meta.get("seed")
    if seed:
        accepted = seeds.values(str(seed), here)
    form = meta.get("format")
    if form is not None and form not in FORMATS:
        raise DeclarationError(f"{here}: format {form!r} is unknown; use {', '.join(FORMATS)}.")
    if form and data_type != FORMATS[form]:
        raise DeclarationError(f"{here}: format {form} needs data_type {FORMATS[form]}.")
    column = Column(
        name=name,
        data_type=data_type.replace(" ", ""),
        required=bool(meta.get("required", False)),
        accepted=accepted,
        seed=str(seed) if seed else None,
        minimum=_bound(meta.get("min"), here, "min"),
        maximum=_bound(meta.get("max"), here, "max"),
        format=form,
        contains_pii=bool(meta.get("contains_pii", False)),
        also=tuple(str(name) for name in meta.get("also") or ()),
        description=str(node.get("description") or "").strip(),
        meta=meta,
    )
    if not column.is_number and (column.minimum is not None or column.maximum is not None):
        raise DeclarationError(f"{here}: min and max need a number type.")
    return column


RESERVED = {
    "_file",
    "_row",
    "_load_id",
    "_content_hash",
    "_extra",
    "_loaded_at",
    "_landed_as_of",
}


def _is_decimal(data_type: str) -> bool:
    match = DECIMAL.fullmatch(data_type)
    return match is not None and 0 < int(match[1]) <= 38 and int(match[2]) <= int(match[1])


def _bound(value: object, where: str, key: str) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise DeclarationError(f"{where}: {key} {value!r} is not a number.") from error


def _override(sources: dict[str, Source], path: Path) -> None:
    """Apply the installation's `sources.yml`: how a source arrives at this company."""
    if not path.exists():
        return
    for name, given in _read_yaml(path, path.name).items():
        if name not in sources:
            raise DeclarationError(
                f"{path.name}: {name!r} is no declared source. Declared: {', '.join(sources)}."
            )
        if not isinstance(given, dict) or set(given) - OVERRIDE_KEYS:
            raise DeclarationError(
                f"{path.name}: {name} may have {', '.join(sorted(OVERRIDE_KEYS))} and no more."
            )
        mode = given.get("mode", sources[name].mode)
        if mode not in MODES:
            raise DeclarationError(f"{path.name}: {name}: mode {mode!r} is not files or schema.")
        connector = given.get("schema")
        if mode == "schema" and not connector:
            raise DeclarationError(
                f"{path.name}: {name}: mode schema needs `schema`, the schema that the tool fills."
            )
        if connector == sources[name].schema:
            raise DeclarationError(
                f"{path.name}: {name}: schema {connector} is where landing writes; name the "
                "tool's own schema."
            )
        sources[name] = replace(
            sources[name],
            mode=mode,
            connector_schema=str(connector) if connector else None,
            currency=given.get("currency", sources[name].currency),
        )
