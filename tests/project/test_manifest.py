"""What the design promises of the project, read from dbt's manifest and the source files."""

import ast
import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import PROJECT

Manifest = dict[str, Any]
LAYERS = {"staging", "identity", "profile", "metrics", "audiences", "activation", "reporting"}
MAY_READ = {
    "staging": {"source", "seed"},
    "identity": {"staging", "seed", "identity"},
    "profile": {"staging", "identity", "seed", "profile"},
    "metrics": {"profile", "seed", "metrics"},
    "audiences": {"profile", "metrics", "seed", "audiences"},
    "activation": {"audiences", "profile"},
    "reporting": {"profile", "metrics", "audiences", "seed", "reporting"},
}
# Single models outside the table: activation's one table of traits, the loader's books.
WRITTEN_EXCEPTIONS = {
    ("sync_csv_drop__lapsing_high_value", "customer_metrics"),
    ("landed_rows", "stg_landing__loads"),
}
# Not published, which `int_` says, and yet read by another layer: matching compares what sources
# say of people before there is a profile.
SHARED_INTERMEDIATES = {"int_identity__contacts_of_sources"}
# What the design says others rely on; grows with it.
COLUMNS = {
    "identifiers": "node_key identifier_type identifier_value first_seen_at last_seen_at "
    "source_count status",
    "identity_edges": "node_a node_b rule_id edge_type weight tier status status_reason "
    "first_seen_at last_seen_at",
    "identity_map": "identifier_type identifier_value customer_id valid_from valid_to is_current",
    "identity_events": "event_type customer_id other_customer_id recorded_at event_sequence run_id",
    "identity_redirects": "customer_id current_customer_id reason",
    "identity_quarantine": "reason identifier_type identifier_value observed_value limit_value",
    "customers": "customer_id email phone first_name last_name birth_date gender address_line city "
    "region postal_code country_code first_seen_at last_seen_at is_identified email_source "
    "email_updated_at phone_source phone_updated_at name_source name_updated_at "
    "birth_date_source birth_date_updated_at gender_source gender_updated_at address_source "
    "address_updated_at",
    "customer_identifiers": "customer_id identifier_type identifier_value first_seen_at "
    "last_seen_at",
    "customer_consents": "customer_id contact_point_type contact_point channel purpose "
    "jurisdiction status captured_at expires_at source",
    "contact_permissions": "customer_id contact_point_type contact_point channel purpose "
    "is_permitted reason",
    "orders": "order_id customer_id source channel ordered_at order_amount refunded_amount "
    "net_amount currency reporting_amount payment_method is_cancelled is_revenue order_number",
    "order_lines": "order_line_id order_id customer_id product_id quantity line_amount",
    "products": "product_id source name category brand price is_in_stock successor_product_id",
    "sessions": "session_id customer_id anonymous_id started_at ended_at entry_page campaign "
    "device event_count",
    "interactions": "interaction_id customer_id anonymous_id occurred_at channel activity source "
    "revenue_amount feature_json activity_occurrence",
    "customer_rfm": "customer_id as_of_date recency_days frequency monetary r_score f_score "
    "m_score rfm_score rfm_segment previous_rfm_segment",
    "customer_rfm_history": "customer_id as_of_date recency_days frequency monetary r_score "
    "f_score m_score rfm_score rfm_segment previous_rfm_segment",
    "customer_metrics": "customer_id journey_stage",
    "customer_order_attributes": " ".join(
        [
            "customer_id days_since_latest_order first_to_second_order_days "
            "first_to_latest_order_days early_repeat_purchaser first_order_is_retained "
            "lifecycle_status is_employee is_reseller is_test_account is_outlier is_gift_giver",
            *(
                f"{place}_order_{what}"
                for place in ("first", "second", "latest")
                for what in ("datetime", "id", "revenue", "total_items")
            ),
            *(
                f"{window}_{what}"
                for window in ("l30d", "l3m", "l6m", "l12m", "ly12m", "lifetime")
                for what in (
                    "order_frequency",
                    "order_revenue",
                    "average_order_value",
                    "total_items",
                    "average_item_price",
                    "preferred_purchase_brand",
                    "preferred_purchase_channel",
                    "preferred_purchase_store",
                )
            ),
        ]
    ),
    "audience_memberships": "audience customer_id entered_at exited_at is_current exit_reason "
    "rule_version",
}


def models_of(manifest: Manifest) -> list[dict[str, Any]]:
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert len(models) > 50, "the manifest holds too few models to say anything"
    return models


def data_tests_of(manifest: Manifest) -> Iterator[tuple[str, str, str | None]]:
    """Each generic data test: the model's id, the test's name, the column."""
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test" and node.get("test_metadata"):
            yield node["attached_node"], node["test_metadata"]["name"], node.get("column_name")


def folder_of(model: dict[str, Any]) -> str:
    return str(model["path"]).split("/", 1)[0]


def kinds_read(manifest: Manifest, model: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a model reads: its layer, or `source` or `seed`, and its name."""
    for unique_id in model["depends_on"]["nodes"]:
        if unique_id.startswith("source."):
            yield "source", unique_id
        elif unique_id.startswith("seed."):
            yield "seed", unique_id
        else:
            read = manifest["nodes"][unique_id]
            yield folder_of(read), read["name"]


def test_every_model_reads_only_what_its_layer_may_read(manifest: Manifest) -> None:
    broken = {
        (model["name"], name)
        for model in models_of(manifest)
        for kind, name in kinds_read(manifest, model)
        if kind not in MAY_READ[folder_of(model)]
    }
    assert broken - WRITTEN_EXCEPTIONS == set()


def test_every_written_exception_is_still_needed(manifest: Manifest) -> None:
    read = {
        (model["name"], name)
        for model in models_of(manifest)
        for kind, name in kinds_read(manifest, model)
        if kind not in MAY_READ[folder_of(model)]
    }
    names = {model["name"] for model in models_of(manifest)}
    assert {pair for pair in WRITTEN_EXCEPTIONS - read if pair[0] in names} == set()


def test_the_folder_is_the_schema_and_the_group(manifest: Manifest) -> None:
    for model in models_of(manifest):
        layer = folder_of(model)
        assert layer in LAYERS, model["path"]
        assert model["schema"] == layer, model["name"]
        assert model["group"] == layer, model["name"]


def test_names_follow_the_layer(manifest: Manifest) -> None:
    for model in models_of(manifest):
        name, layer = model["name"], folder_of(model)
        if layer == "staging":
            source = model["path"].split("/")[1]
            assert name.startswith(f"stg_{source}__"), name
        elif layer == "activation":
            assert re.fullmatch(r"sync_[a-z_]+?__[a-z_]+", name), name
        elif name.startswith("int_"):
            assert name.startswith(f"int_{layer}__"), name
        if name.startswith("int_") and name not in SHARED_INTERMEDIATES:
            assert model["access"] == "private", f"{name} is private to its layer"


def test_every_shared_intermediate_is_read_by_another_layer(manifest: Manifest) -> None:
    shared = {
        name
        for model in models_of(manifest)
        for layer, name in kinds_read(manifest, model)
        if name.startswith("int_") and layer not in {"source", "seed", folder_of(model)}
    }
    assert shared == SHARED_INTERMEDIATES


def test_every_description_begins_with_the_grain(manifest: Manifest) -> None:
    without = [
        model["name"]
        for model in models_of(manifest)
        if not re.match(r"One row(\.| per | of )", model["description"])
    ]
    assert without == []


def test_every_column_of_a_table_for_others_is_described(manifest: Manifest) -> None:
    without = [
        f"{model['name']}.{column['name']}"
        for model in models_of(manifest)
        for column in model["columns"].values()
        if not column["description"].strip()
    ]
    assert without == []


def test_every_public_model_has_a_uniqueness_test(manifest: Manifest) -> None:
    unique = {
        model
        for model, test, _ in data_tests_of(manifest)
        if test in {"unique", "unique_combination"}
    }
    without = [
        model["name"]
        for model in models_of(manifest)
        if not model["name"].startswith("int_")
        # The audience files give keys to audience_memberships, which tests them together;
        # a version is told from another by its content alone.
        and not model["name"].startswith("audience_")
        and not model["name"].endswith("_versions")
        and model["name"] != "stg_cdp__installation"
        and model["unique_id"] not in unique
    ]
    assert without == []


def test_one_row_tables_and_audiences_are_tested_in_their_own_way(manifest: Manifest) -> None:
    tested = {node["name"] for node in manifest["nodes"].values()}
    assert "the_installation_has_one_salt" in tested
    unique = {model for model, test, _ in data_tests_of(manifest) if test.startswith("unique")}
    assert "model.cdp.audience_memberships" in unique


def test_contracts_are_enforced_on_every_public_profile_model(manifest: Manifest) -> None:
    for model in models_of(manifest):
        if folder_of(model) == "profile" and not model["name"].startswith("int_"):
            assert model["contract"]["enforced"], model["name"]
            types = {column["data_type"] for column in model["columns"].values()}
            allowed = r"(string|bigint|double|boolean|date|timestamp|decimal\(\d+, ?\d+\))"
            for kind in types:
                assert kind and re.fullmatch(allowed, kind), f"{model['name']}: {kind}"


def test_every_not_null_constraint_is_also_a_data_test(manifest: Manifest) -> None:
    tested = {
        (model, column) for model, test, column in data_tests_of(manifest) if test == "not_null"
    }
    constrained = {
        (model["unique_id"], column["name"])
        for model in models_of(manifest)
        for column in model["columns"].values()
        for constraint in column["constraints"]
        if constraint["type"] == "not_null"
    }
    assert constrained, "no profile model has a not_null constraint"
    assert constrained - tested == set()


def has_a_rule(model: dict[str, Any]) -> bool:
    """Whether the model's SQL decides anything: more than names of what it reads.

    A list of inputs that are put under each other decides nothing: it is a line for each source.
    """
    code = without_comments(model["raw_code"])
    listed = r"(\s*\{%-?\s*set \w+ = \[.*?\]\s*-?%\})+(\s*\{%-?\s*for .*?endfor\s*-?%\})+\s*"
    if re.fullmatch(listed, code, flags=re.DOTALL):
        return False
    code = re.sub(r"\{\{\s*config\(.*?\)\s*\}\}", "", code, flags=re.DOTALL)
    code = re.sub(r"\{%-?\s*for .*?endfor\s*-?%\}", "*", code, flags=re.DOTALL)
    code = re.sub(r"\w+ is null as is_current", "", code)
    return re.fullmatch(r"\s*select\s+\*?\s*,?\s*from\s+\{\{[^}]*\}\}\s*", code) is None


def test_a_pass_through_is_told_from_a_rule() -> None:
    assert not has_a_rule(
        {"raw_code": "{{ config(full_refresh=false) }}\nselect * from {{ ref('a') }}"}
    )
    assert not has_a_rule(
        {
            "raw_code": "{# A list. #}\n{%- set names = ['a'] -%}\n{% for name in names %}\n"
            "select * from {{ ref(name) }}\n{% endfor %}\n"
        }
    )
    assert has_a_rule({"raw_code": "select * from {{ ref('a') }} where b > 1"})
    assert has_a_rule({"raw_code": "{%- set a = [1] -%}\nwith b as (select 1) select * from b"})


def test_every_model_with_a_rule_has_a_unit_test(manifest: Manifest) -> None:
    tested = {unit["model"] for unit in manifest["unit_tests"].values()}
    without = sorted(
        model["name"]
        for model in models_of(manifest)
        if folder_of(model) in {"identity", "profile", "metrics", "audiences", "activation"}
        and not re.match(r"int_\w+__previous_", model["name"])
        # A model whose work is in a hook is proved by real builds.
        and not any("solve_identity" in str(hook) for hook in model["config"]["pre-hook"])
        and has_a_rule(model)
        and model["name"] not in tested
    )
    assert without == []


ENGINE_SPECIFIC = {
    "a branch on the engine": r"\btarget\.(type|name)\b|\badapter\.type\b",
    "a cast by colons": r"::",
    "qualify": r"\bqualify\b",
    "a list": r"\b(unnest|list|list_\w+|array\w*|struct\w*|named_struct|collect_\w+|"
    r"(pos)?explode(_outer)?|sequence|generate_series|range|map\w*|string_split)\s*\(|"
    r"\blateral\s+view\b",
    "exclude": r"\*\s*(exclude|replace|rename)\s*\(",
    "arg_max": r"\b(arg_max|arg_min|max_by|min_by|any_value|first|last)\s*\(",
    # Null or nothing, as the engine likes; `||` is one thing on both.
    "concat": r"\bconcat\s*\(",
    "group by all": r"\b(group|order)\s+by\s+all\b",
    "a clock": r"\b(now|today|current_timestamp|localtimestamp|getdate)\s*\(|"
    r"\bcurrent_(date|timestamp|time)\b",
    "ntile": r"\bntile\b",
    "JSON of one engine": r"\b(json_extract\w*|get_json_object|(to|from)_json)\s*\(|->|"
    # Our own macro of this name is called within braces.
    r"(?<!\{\{ )\bjson_object\s*\(",
    "regular expressions of one engine": r"\b(regexp_?\w*|rlike|similar\s+to)\b",
    "dates of one engine": r"\b(strftime|strptime|date_diff|date_format|epoch\w*|"
    r"to_(date|timestamp)|(from_)?unix\w*|date_sub|make_(date|dt|time|ym|interval)\w*|timestampadd|add_months)\s*\(|"
    r"(?<!dbt\.)\b(datediff|dateadd|date_add)\s*\(",
    "varchar": r"\bvarchar\b|\bas\s+text\s*\)",
    # Blanks that are trimmed, and letters that change their case, differ: use our macros.
    "trim and case": r"(?<![\w.])(trim|ltrim|rtrim|btrim|lower|upper|initcap)\s*\(",
    # A mean of decimals is a double on one and a decimal on the other: `average()`.
    "a mean": r"(?<![\w.])(avg|mean|median|quantile\w*|percentile\w*|approx_\w+)\s*\(",
    # A text in double quotes is a name on one and a value on the other; backticks the reverse.
    "quotes of one engine": r"`|\"\w+\"",
    "joins of one engine": r"\b(anti|semi|asof|positional)\s+join\b",
    "distinct on": r"\bdistinct\s+on\b",
    "hashes of one engine": r"\b(hash|sha1?|sha2|sha256|xxhash\w*|crc32|md5_number\w*)\s*\(",
    "null-safe equality of one engine": r"\s<=>\s",
    # Half a date, blanks and signs within a number are read in ways of their own: `typed()`.
    "casts of what may not fit": r"\btry_cast\s*\(",
    "days of one engine": r"\b(dayofweek|day_of_week|isodow|weekofyear)\b|"
    r"\bextract\s*\(\s*(dow|week|isoyear)",
    "texts in a row": r"\b(string_agg|listagg|group_concat)\s*\(",
}
PLANTED = {
    "a branch on the engine": "{% if target.type == 'duckdb' %}",
    "a cast by colons": "select order_id::bigint",
    "qualify": "qualify row_number() over () = 1",
    "a list": "select unnest(x)",
    "exclude": "select * exclude (a)",
    "arg_max": "select arg_max(a, b)",
    "concat": "select concat(a, b)",
    "group by all": "group by all",
    "a clock": "where day < current_date",
    "ntile": "select ntile(5) over (order by a)",
    "JSON of one engine": "select json_extract(a, '$.b')",
    "regular expressions of one engine": "select regexp_replace(a, 'b', 'c')",
    "dates of one engine": "select datediff('day', a, b)",
    "varchar": "cast(a as varchar)",
    "trim and case": "select lower(a)",
    "a mean": "select avg(a)",
    "quotes of one engine": 'select "order"',
    "joins of one engine": "left anti join b on a.c = b.c",
    "distinct on": "select distinct on (a) a, b",
    "hashes of one engine": "select sha2(a, 256)",
    "null-safe equality of one engine": "where a <=> b",
    "casts of what may not fit": "select try_cast(a as date)",
    "days of one engine": "select extract(dow from a)",
    "texts in a row": "select string_agg(a, ',')",
}
ALSO_CAUGHT = [
    "select list(x)",
    "select arg_min(a, b)",
    "select now()",
    "select current_timestamp",
    "select strftime(a, '%Y')",
    "select date_diff('day', a, b)",
    "select regexp_matches(a, 'b')",
    "select json_extract_string(a, 'b')",
    "select * exclude(a)",
    "select explode(sequence(a, b))",
    "select from_json(a, 'b string')",
    "select trim(a)",
    "select upper(a)",
    "select date_sub(a, 1)",
    "select `order`",
    "select to_timestamp(a)",
    "{% if adapter.type() == 'spark' %}",
    # SQL that a macro builds from texts.
    "{% set made = make_scratch('a', \"select avg(b) from \" ~ c) %}",
    "{{ run_query('select lower(a) from b') }}",
]
ALLOWED = [
    "select concat_ws('|', a, b)",
    "{{ dbt.datediff('a', 'b', 'day') }}",
    "{{ dbt.dateadd('day', 1, 'a') }}",
    "-- qualify is not used here",
    "{# unnest( would be DuckDB's own #}",
    "select first_seen_at, last_seen_at, previous_now",
    "select cast(a as {{ dbt.type_string() }})",
    "select {{ lower_case(trimmed('a')) }}, {{ average('b') }}",
    '{{ config(materialized="view") }}',
    "select customers.first_name, min(texts) as text_count",
]


def without_comments(code: str) -> str:
    code = re.sub(r"\{#.*?#\}", "", code, flags=re.DOTALL)
    return re.sub(r"--.*", "", code)


# What Jinja's own expressions may hold: filters, lists and texts in double quotes.
JINJA = r"\{\{.*?\}\}|\{%.*?%\}"
ONLY_IN_SQL = {"trim and case", "a mean", "quotes of one engine", "a list"}


def engine_specific(code: str) -> list[str]:
    """The names of what only one engine understands in a file's code."""
    code = without_comments(code)
    sql = re.sub(JINJA, " ", code, flags=re.DOTALL)
    for part in re.findall(JINJA, code, flags=re.DOTALL):
        # SQL that a macro builds stands in texts; others are names and arguments.
        texts = re.findall(r"\"([^\"]*)\"|'([^']*)'", part)
        sql += " ".join(
            text
            for pair in texts
            for text in pair
            if re.search(r"\b(select|from|group by)\b", text)
        )
    return [
        name
        for name, pattern in ENGINE_SPECIFIC.items()
        if re.search(pattern, sql if name in ONLY_IN_SQL else code, flags=re.IGNORECASE)
    ]


def sql_files() -> list[Path]:
    files = [
        path
        for part in ("models", "macros", "tests/data_tests")
        for path in sorted((PROJECT / part).rglob("*.sql"))
        if "engines" not in path.relative_to(PROJECT).parts
    ]
    assert len(files) > 80
    return files


def test_models_hold_nothing_that_one_engine_alone_understands() -> None:
    found = {
        str(path.relative_to(PROJECT)): names
        for path in sql_files()
        if (names := engine_specific(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize("name", ENGINE_SPECIFIC)
def test_each_planted_fragment_of_one_engine_is_caught(name: str) -> None:
    assert name in engine_specific(f"with a as (select 1)\n{PLANTED[name]}\nfrom a")


@pytest.mark.parametrize("code", ALSO_CAUGHT)
def test_each_other_spelling_is_caught(code: str) -> None:
    assert engine_specific(code)


@pytest.mark.parametrize("code", ALLOWED)
def test_what_both_engines_understand_is_allowed(code: str) -> None:
    assert engine_specific(code) == []


def test_the_audiences_of_seed_models_and_list_are_the_same(manifest: Manifest) -> None:
    with (PROJECT / "seeds/audiences.csv").open(encoding="utf-8") as file:
        seeded = {row["audience"] for row in csv.DictReader(file)}
    models = {
        model["name"].removeprefix("audience_")
        for model in models_of(manifest)
        if folder_of(model) == "audiences"
        and model["name"].startswith("audience_")
        and model["name"] != "audience_memberships"
    }
    members = (PROJECT / "models/audiences/int_audiences__members.sql").read_text()
    listed = dict(re.findall(r"'(\w+)': ref\('audience_(\w+)'\)", members))
    assert seeded == models == set(listed)
    assert all(key == model for key, model in listed.items())


def test_every_sync_takes_its_contact_points_through_the_gate(manifest: Manifest) -> None:
    syncs = [model for model in models_of(manifest) if model["config"].get("meta", {}).get("sync")]
    assert {model["name"] for model in syncs} == {
        model["name"] for model in models_of(manifest) if folder_of(model) == "activation"
    }
    for model in syncs:
        assert "macro.cdp.permitted_members" in model["depends_on"]["macros"], model["name"]
        assert "model.cdp.contact_permissions" in model["depends_on"]["nodes"], model["name"]
        code = re.sub(r"\{\{.*?\}\}", "", without_comments(model["raw_code"]), flags=re.DOTALL)
        elsewhere = re.findall(r"(?<!members\.)\bcontact_point\b", code)
        personal = re.findall(r"\b(?:email|phone|identifier_value|address_line)\b", code)
        assert elsewhere + personal == [], f"{model['name']} reads a contact point past the gate"
        read = {name for _, name in kinds_read(manifest, model)}
        assert read.isdisjoint({"customer_identifiers", "customer_consents", "identity_map"})


def test_third_parties_are_used_as_their_licence_says(manifest: Manifest) -> None:
    """What they deliver is read in the profile alone, and later only by its licence's column."""
    needed = {
        "audiences": "is_for_activation",
        "activation": "is_for_activation",
        "metrics": "is_for_analytics",
        "reporting": "is_for_analytics",
    }
    for model in models_of(manifest):
        read = {name for _, name in kinds_read(manifest, model)}
        layer = folder_of(model)
        if any(name.startswith("stg_dmp__") for name in read):
            assert layer == "profile", f"{model['name']}: nothing of a third party is evidence"
        if "third_party_audience_members" in read and layer in needed:
            code = without_comments(model["raw_code"])
            assert re.search(rf"where\b[^)]*\b{needed[layer]}\b", code), model["name"]


def test_evidence_is_what_a_declaration_calls_an_identifier() -> None:
    """What belongs to somebody else never joins: a receiver, a company, a third party's key."""
    carried: dict[str, set[str]] = {}
    for path in (PROJECT / "models/staging").glob("*/_*__sources.yml"):
        for source in yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]:
            for table in source["tables"]:
                for column in table.get("columns", []):
                    meta = column.get("config", {}).get("meta", {})
                    fields = [meta, *meta.get("fields", [])]
                    place = f"{source['name']}.{table['name']}"
                    names = {
                        each.get("as", column["name"]) for each in fields if "identifier" in each
                    }
                    carried.setdefault(place, set()).update(names)
    assert not [name for name in carried["shopify.order"] if name.startswith("shipping")]
    assert not any(names for place, names in carried.items() if place.startswith("dmp."))
    events = yaml.safe_load((PROJECT / "models/staging/web/_web__sources.yml").read_text())
    [traits] = [
        column
        for column in events["sources"][0]["tables"][0]["columns"]
        if column["name"] == "traits"
    ]
    fields = traits["config"]["meta"]["fields"]
    assert all(field["when"] == {"type": ["identify"]} for field in fields)


def test_every_identifier_type_is_declared_by_a_source_and_has_a_reason() -> None:
    with (PROJECT / "seeds/identifier_types.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    declared = set()
    for path in (PROJECT / "models/staging").glob("*/_*__sources.yml"):
        declared |= set(re.findall(r"\bidentifier: (\w+)", path.read_text(encoding="utf-8")))
    assert {row["identifier_type"] for row in rows} == declared
    assert all(row["reason"] for row in rows)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_others_rely_on_has_its_columns(manifest: Manifest, table: str) -> None:
    found = {model["name"]: model for model in models_of(manifest)}
    assert table in found
    missing = set(COLUMNS[table].split()) - set(found[table]["columns"])
    assert missing == set()


def test_personal_columns_are_marked_wherever_they_are_published(manifest: Manifest) -> None:
    personal = {
        "email", "phone", "first_name", "last_name", "birth_date", "address_line", "postal_code",
        "contact_point", "identifier_value", "anonymous_id",
    }  # fmt: skip
    unmarked = [
        f"{model['name']}.{column['name']}"
        for model in models_of(manifest)
        if folder_of(model) != "staging" and not model["name"].startswith("int_")
        for column in model["columns"].values()
        if column["name"] in personal and not column["config"].get("meta", {}).get("contains_pii")
    ]
    assert unmarked == []


def test_audiences_metrics_and_reports_hold_no_personal_column(manifest: Manifest) -> None:
    holding = [
        f"{model['name']}.{column['name']}"
        for model in models_of(manifest)
        if folder_of(model) in {"metrics", "audiences", "reporting"}
        for column in model["columns"].values()
        if column["config"].get("meta", {}).get("contains_pii")
    ]
    assert holding == []


def test_history_tables_survive_a_full_refresh(manifest: Manifest) -> None:
    kept = {
        model["name"]
        for model in models_of(manifest)
        if model["config"].get("full_refresh") is False
    }
    assert kept >= {
        "identity_map", "identity_events", "identity_quarantine", "identity_registry",
        "audience_memberships",
    }  # fmt: skip


def test_dbt_is_told_no_secret() -> None:
    files = [*sql_files(), *(PROJECT / "models").rglob("*.yml"), PROJECT / "dbt_project.yml"]
    files += [PROJECT / "profiles.yml", *(PROJECT / "macros/engines").rglob("*.sql")]
    read = {
        (str(path.relative_to(PROJECT)), name)
        for path in files
        for name in re.findall(r"env_var\(\s*['\"](\w+)", path.read_text(encoding="utf-8"))
    }
    secret = re.compile(r"PEPPER|KEY|SECRET|TOKEN|PASS|SALT|CREDENTIAL|USER", re.IGNORECASE)
    assert {pair for pair in read if secret.search(pair[1])} == set()
    in_models = {pair for pair in read if pair[0].startswith(("models", "tests"))}
    assert in_models == set(), "a model's answer depends on data and variables alone"


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, and whether at once, on its own import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in top
            for name in node.names:
                yield f"{node.module}.{name.name}", id(node) in top


def python_files() -> Iterator[tuple[str, Path]]:
    for path in sorted((PROJECT / "orchestration").rglob("*.py")):
        yield str(path.relative_to(PROJECT / "orchestration")), path


def begins(module: str, *packages: str) -> bool:
    return any(module == name or module.startswith((f"{name}.", f"{name}_")) for name in packages)


def test_no_module_outside_defs_imports_dagster() -> None:
    broken = []
    for name, path in python_files():
        if name.startswith("defs/") or name in {"definitions.py", "ui.py"}:
            continue
        for module, at_once in imports_of(path):
            through = begins(module, "orchestration.defs", "orchestration.definitions")
            lazy = name == "pipeline.py" and module.startswith("orchestration.defs.execute")
            if begins(module, "dagster") or (through and (at_once or not lazy)):
                broken.append((name, module))
    assert broken == []


def test_destinations_import_neither_dagster_nor_dbt_nor_duckdb() -> None:
    broken = [
        (name, module)
        for name, path in python_files()
        if name.startswith("destinations/")
        for module, _ in imports_of(path)
        if begins(module, "dagster", "dbt", "duckdb")
        or (
            module.startswith("orchestration.")
            and not begins(module, "orchestration.destinations", "orchestration.errors")
        )
    ]
    assert broken == []


def test_the_command_line_loads_neither_dagster_nor_dbt() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, sys, orchestration.cli, orchestration.pipeline; "
            "print(json.dumps([name for name in ('dagster', 'dbt') if name in sys.modules]))",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(told.stdout) == []
