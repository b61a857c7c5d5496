"""The project's dbt macros on a DuckDB connection, without starting dbt.

dbt takes seconds to start and names, logs and caches every statement. A property test wants
hundreds of graphs in that time, and a benchmark the cost of the statements alone. Both get the
macros as they stand in `macros/`, read by dbt's own Jinja environment; what dbt gives a macro at
run time (`run_query`, `adapter`, `api`, `ref`, `var`, …) is given here over the connection. Macros
of dbt itself (`dbt.type_string()`) come from the installed packages; the project's go first.

It runs macros and their statements, not materialisations: `build_model` makes a plain table.
"""

import datetime
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import agate
import duckdb
import jinja2
import yaml
from dbt.adapters.contracts.relation import RelationType
from dbt.adapters.duckdb.column import DuckDBColumn
from dbt.adapters.duckdb.relation import DuckDBRelation
from dbt.include.duckdb import PACKAGE_PATH as DBT_DUCKDB
from dbt.include.global_project import PACKAGE_PATH as DBT
from dbt_common.clients.agate_helper import empty_table, table_from_data_flat
from dbt_common.clients.jinja import get_environment
from dbt_common.exceptions import CompilationError
from dbt_common.exceptions.macros import MacroReturn

from orchestration.home import PROJECT

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)\s*\(")
_READS = re.compile(r"\s*(select|with|show|describe)\b", re.IGNORECASE)
_PREFIXES = ("duckdb", "default")


@dataclass(frozen=True)
class Statement:
    """One statement that a macro sent, and how long the engine took over it."""

    sql: str
    seconds: float


@dataclass
class BareMacros:
    """The macros of a dbt project, callable from Python; `statements` tells what they ran.

    `variables` go before those of dbt_project.yml, `context` before everything that is given
    to macros here: `{"this": bare.relation("identity_components", "identity")}` for a macro
    that asks whether its model was built before.
    """

    connection: duckdb.DuckDBPyConnection
    variables: Mapping[str, object] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    schema: str = "main"
    project: Path = PROJECT
    statements: list[Statement] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = yaml.safe_load((self.project / "dbt_project.yml").read_text())
        self.variables = {**settings.get("vars", {}), **self.variables}
        row = self.connection.execute("select current_database()").fetchone()
        self.database = row[0] if row else None
        self._results: dict[str, SimpleNamespace] = {}
        self._modules: dict[Path, Any] = {}
        own = self._macros_below(*(self.project / path for path in settings["macro-paths"]))
        dbts = self._macros_below(Path(DBT) / "macros", Path(DBT_DUCKDB) / "macros")
        namespaces = {settings["name"]: SimpleNamespace(**own), "dbt": SimpleNamespace(**dbts)}
        given = dict(self.context)
        self.context.update({**dbts, **own, **namespaces, **self._runtime(), **given})

    def call(self, macro: str, *arguments: Any, **named: Any) -> Any:
        """What a macro returns, or its text where it returns nothing."""
        return self.context[macro](*arguments, **named)

    def render(self, text: str) -> str:
        """A model's, test's or hook's text as SQL."""
        return _template(text).render(self.context)

    def relation(self, name: str, schema: str | None = None) -> DuckDBRelation:
        return DuckDBRelation.create(
            database=self.database,
            schema=schema or self.schema,
            identifier=name,
            type=RelationType.Table,
        )

    def build_model(self, path: Path) -> DuckDBRelation:
        """Make a model's table with its pre-hooks run before, as dbt would on a first build."""
        settings: dict[str, Any] = {}
        this = self.relation(path.stem)
        self.context.update(this=this, config=_Config(settings))
        body = self.render(path.read_text())
        hooks = settings.get("pre_hook", [])
        for hook in [hooks] if isinstance(hooks, str) else hooks:
            if statement := self.render(hook).strip():
                self.execute(statement)
        self.execute(f"drop table if exists {this}")
        self.execute(_create_table_as(False, this, body))
        return this

    @property
    def seconds(self) -> float:
        """The engine's time over all statements so far."""
        return sum(statement.seconds for statement in self.statements)

    def execute(self, sql: str) -> agate.Table:
        started = time.perf_counter()
        self.connection.execute(sql)
        names = [column[0] for column in self.connection.description or []]
        rows = self.connection.fetchall() if names else []
        self.statements.append(Statement(sql, time.perf_counter() - started))
        # DuckDB tells of other statements how many rows they wrote, which no macro asks.
        if not names or not _READS.match(sql):
            return empty_table()
        return table_from_data_flat([dict(zip(names, row, strict=True)) for row in rows], names)

    def _macros_below(self, *folders: Path) -> dict[str, Callable[..., Any]]:
        return {
            name: self._macro(name, path) for folder in folders for name, path in _places(folder)
        }

    def _macro(self, name: str, path: Path) -> Callable[..., Any]:
        """A macro that dbt's Jinja renamed, so that calls to it come here and may return."""

        def macro(*arguments: Any, **named: Any) -> Any:
            if path not in self._modules:
                self._modules[path] = _template(path.read_text()).make_module(self.context)
            try:
                return getattr(self._modules[path], f"dbt_macro__{name}")(*arguments, **named)
            except MacroReturn as returned:
                return returned.value

        return macro

    def _runtime(self) -> dict[str, Any]:
        """What dbt hands a macro while it runs; only what a macro of this project could use."""
        return {
            "adapter": _Adapter(self),
            "api": SimpleNamespace(Relation=DuckDBRelation, Column=DuckDBColumn),
            "config": _Config({}),
            "env_var": _environment_variable,
            "exceptions": SimpleNamespace(raise_compiler_error=_fail, warn=_ignore),
            "execute": True,
            "flags": SimpleNamespace(WHICH="build", FULL_REFRESH=False, EMPTY=False),
            "fromjson": json.loads,
            "get_create_table_as_sql": _create_table_as,
            "invocation_id": "bare",
            "load_result": self._results.get,
            "log": _ignore,
            "model": {},
            "modules": SimpleNamespace(datetime=datetime),
            "print": _ignore,
            "ref": lambda *names: self.relation(names[-1]),
            "return": _return,
            "run_query": self.execute,
            "selected_resources": [],
            "source": lambda schema, name: self.relation(name, schema),
            "statement": self._statement,
            "store_result": self._store_result,
            "target": {
                "type": "duckdb",
                "name": "bare",
                "database": self.database,
                "schema": self.schema,
                "threads": 1,
            },
            "tojson": json.dumps,
            "var": self._variable,
            "write": _ignore,
        }

    def _variable(self, name: str, *default: object) -> object:
        if name not in self.variables and not default:
            _fail(f"Required var '{name}' not found")
        return self.variables.get(name, *default)

    def _statement(
        self, name: str | None = None, *, caller: Callable[[], str], **options: object
    ) -> str:
        table = self.execute(caller())
        return self._store_result(name, agate_table=table) if name else ""

    def _store_result(self, name: str, response: object = None, agate_table: object = None) -> str:
        self._results[name] = SimpleNamespace(response=response, table=agate_table)
        return ""


@dataclass(frozen=True)
class _Adapter:
    """What macros ask of dbt's adapter."""

    bare: BareMacros

    def type(self) -> str:
        return "duckdb"

    def quote(self, name: str) -> str:
        return f'"{name}"'

    def dispatch(self, macro_name: str, macro_namespace: str | None = None) -> Callable[..., Any]:
        for prefix in _PREFIXES:
            if found := self.bare.context.get(f"{prefix}__{macro_name}"):
                return found
        _fail(f"No macro named '{macro_name}' for DuckDB")
        raise AssertionError

    def execute(self, sql: str, **options: object) -> tuple[str, agate.Table]:
        return "OK", self.bare.execute(sql)

    def add_query(self, sql: str, **options: object) -> str:
        self.bare.execute(sql)
        return ""

    def create_schema(self, relation: DuckDBRelation) -> None:
        self.bare.execute(f"create schema if not exists {relation.without_identifier()}")

    def drop_schema(self, relation: DuckDBRelation) -> None:
        self.bare.execute(f"drop schema if exists {relation.without_identifier()} cascade")

    def drop_relation(self, relation: DuckDBRelation) -> None:
        self.bare.execute(f"drop {relation.type or 'table'} if exists {relation} cascade")

    def rename_relation(self, old: DuckDBRelation, new: DuckDBRelation) -> None:
        self.bare.execute(
            f"alter table {old} rename to {new.include(database=False, schema=False)}"
        )

    def get_relation(
        self, database: str | None, schema: str, identifier: str
    ) -> DuckDBRelation | None:
        found = self.bare.connection.execute(
            "select table_type from information_schema.tables "
            "where table_catalog = ? and table_schema = ? and table_name = ?",
            [database or self.bare.database, schema, identifier],
        ).fetchone()
        if found is None:
            return None
        kind = RelationType.View if found[0] == "VIEW" else RelationType.Table
        return self.bare.relation(identifier, schema).incorporate(type=kind)

    def get_columns_in_relation(self, relation: DuckDBRelation) -> list[DuckDBColumn]:
        rows = self.bare.connection.execute(f"describe {relation}").fetchall()
        return [DuckDBColumn(name, kind) for name, kind, *_ in rows]

    def cache_added(self, relation: DuckDBRelation) -> str:
        return ""


@dataclass(frozen=True)
class _Config:
    """A model's `config(...)` call, whose settings are kept, and what macros read of it."""

    settings: dict[str, Any]

    def __call__(self, **settings: Any) -> str:
        self.settings.update(settings)
        return ""

    def get(self, name: str, default: object = None) -> object:
        return self.settings.get(name, default)


@cache
def _template(text: str) -> jinja2.Template:
    """Compiled once for all connections of a process."""
    return get_environment(None).from_string(text)


@cache
def _places(folder: Path) -> list[tuple[str, Path]]:
    """Each macro below a folder and the file that it stands in."""

    def read() -> Iterator[tuple[str, Path]]:
        for path in sorted(folder.rglob("*.sql")):
            for name in _MACRO.findall(_COMMENT.sub("", path.read_text())):
                yield name, path

    return list(read())


def _create_table_as(temporary: bool, relation: object, sql: str) -> str:
    return f"create {'temporary ' if temporary else ''}table {relation} as (\n{sql}\n)"


def _environment_variable(name: str, default: str | None = None) -> str:
    """The default alone: a check gives the same answer whatever the environment says."""
    if default is None:
        _fail(f"Env var required but not provided: '{name}'")
    return default or ""


def _return(value: object = None) -> None:
    raise MacroReturn(value)


def _fail(message: str, *_: object) -> None:
    raise CompilationError(message)


def _ignore(*_: object, **__: object) -> str:
    return ""
