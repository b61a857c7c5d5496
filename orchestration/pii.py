"""The map of personal data: which columns hold it, by the tags in YAML and nothing else.

A raw column says so itself (`contains_pii` in its source's declaration). Staging is written from
the declaration, so its columns take the tags from there. From identity on each model tags its
columns, those that are not published too. Publishing masks by these tags, and a test looks for
personal values in every column that has none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestration.landing.declarations import INTERNAL

Place = tuple[str, str, str]
# What the loader keeps whatever it holds: columns nobody declared, rows that broke a rule, and what
# it says of them, which quotes a value that stands where none of a person should.
UNDECLARED = "_extra"
REJECTED, REJECTED_TEXTS = "__rejected", ("raw_text", "message")


def is_tagged(column: Mapping[str, Any]) -> bool:
    """Whether a column of the manifest says that it holds personal data."""
    return bool(column.get("config", {}).get("meta", {}).get("contains_pii"))


def personal_columns(manifest: Mapping[str, Any]) -> set[Place]:
    """Every schema, table and column that is tagged, without the installation's prefix."""
    return {*_raw(manifest), *_staged(manifest), *_modelled(manifest)}


def _raw(manifest: Mapping[str, Any]) -> Iterator[Place]:
    for source in manifest["sources"].values():
        schema, table = source["schema"], source["identifier"]
        for column in source["columns"].values():
            if is_tagged(column):
                yield schema, table, column["name"]
        if source["config"]["meta"].get("mode") != INTERNAL:
            yield schema, table, UNDECLARED
            for name in REJECTED_TEXTS:
                yield schema, table + REJECTED, name


def _staged(manifest: Mapping[str, Any]) -> Iterator[Place]:
    for node in _models(manifest):
        if node["config"]["schema"] != "staging":
            continue
        for parent in node["depends_on"]["nodes"]:
            source = manifest["sources"].get(parent)
            if source:
                for name in staged_names(source):
                    yield "staging", node["name"], name


def staged_names(source: Mapping[str, Any]) -> set[str]:
    """The personal columns of a source's table as staging calls them.

    A field of a personal JSON text is personal unless it says that it is not, and so is a key that
    has a personal column.
    """
    names: set[str] = set()
    for column in source["columns"].values():
        if is_tagged(column):
            meta = column["config"]["meta"]
            names.add(meta.get("as", column["name"]))
            names |= {
                field["as"] for field in meta.get("fields", []) if field.get("contains_pii", True)
            }
            if column["name"] in source["config"]["meta"].get("key", []):
                names.add("record_key")
    return names


def _modelled(manifest: Mapping[str, Any]) -> Iterator[Place]:
    for node in _models(manifest):
        for column in node["columns"].values():
            if is_tagged(column):
                yield node["config"]["schema"], node["name"], column["name"]


def _models(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model":
            yield node
