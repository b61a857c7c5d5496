"""Publishing: readers see whole files, nobody sees what is masked, a failed check keeps the old."""

import hashlib
import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from support import AS_OF, query, reader_of

from orchestration.cli import main
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.project import run_dbt
from orchestration.publish.publish import masked_expression, publish

TABLES = "select table_schema, table_name, table_type from information_schema.tables"


def texts(home: Home) -> Iterator[tuple[str, set[str]]]:
    """Every distinct text of every column of the masked file."""
    with duckdb.connect(str(home.cdp_file), read_only=True) as connection:
        columns = connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where data_type = 'VARCHAR'"
        ).fetchall()
        assert len(columns) > 80
        for schema, table, column in columns:
            rows = connection.execute(
                f'select distinct "{column}" from "{schema}"."{table}" where "{column}" is not null'
            ).fetchall()
            yield f"{schema}.{table}.{column}", {row[0] for row in rows}


def personal_values(home: Home) -> tuple[set[str], set[str]]:
    """Identifiers of the truth and of the graph; names, addresses and the like of profiles."""
    truth = (home.truth / "identifiers.csv").read_text(encoding="utf-8").splitlines()[1:]
    identifiers = {line.split(",")[1] for line in truth}
    # Words such as `unknown` where a value was asked for are nobody's.
    statement = "select identifier_value, status_reason from identity.identifiers"
    for value, reason in query(home.private_file, statement):
        (identifiers.discard if reason == "junk_value" else identifiers.add)(value)
    described: set[str] = set()
    for column in ("first_name", "last_name", "address_line", "postal_code", "email", "phone"):
        found = query(home.private_file, f"select distinct {column} from profile.customers")
        described |= {row[0] for row in found if row[0] and len(row[0]) > 2}
    assert len(identifiers) > 1000 and len(described) > 200
    return identifiers, described


def test_the_masked_file_holds_no_personal_value_in_any_text(sample_home: Home) -> None:
    identifiers, described = personal_values(sample_home)
    leaked: dict[str, set[str]] = {}
    for place, found in texts(sample_home):
        pieces = {piece for text in found for piece in re.split(r'["\s,;|{}]+|: ?', text)}
        leaks = (found & described) | ((found | pieces) & identifiers)
        leaks |= {text for text in found if re.search(r"[\w.+-]+@[\w-]+\.\w+|^\+\d{8,15}$", text)}
        if leaks:
            leaked[place] = set(sorted(leaks)[:3])
    assert leaked == {}


def test_the_masked_file_holds_no_unsalted_key_of_an_identifier(sample_home: Home) -> None:
    rows = query(sample_home.private_file, "select node_key from identity.identifiers")
    keys = {row[0] for row in rows}
    with duckdb.connect(str(sample_home.cdp_file), read_only=True) as connection:
        columns = connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where data_type in ('BIGINT', 'HUGEINT', 'UBIGINT')"
        ).fetchall()
        for schema, table, column in columns:
            found = connection.execute(f'select distinct "{column}" from "{schema}"."{table}"')
            assert keys.isdisjoint({row[0] for row in found.fetchall()}), f"{table}.{column}"


def test_no_byte_of_the_masked_file_is_an_address(sample_home: Home) -> None:
    content = sample_home.cdp_file.read_bytes()
    for domain in (b"@example.", b"@post.example", b"@mail.example", b"@firm-"):
        assert domain not in content


def test_the_salt_and_the_pepper_are_in_no_published_file(sample_home: Home) -> None:
    salt = query(sample_home.warehouse, "select salt from raw_cdp.installation")[0][0]
    pepper = sample_home.secrets_file.read_text().splitlines()[0].partition("=")[2]
    assert len(salt) >= 32 and len(pepper) >= 32
    for path in (sample_home.cdp_file, sample_home.private_file, sample_home.ops_file):
        content = path.read_bytes()
        assert salt.encode() not in content, path.name
        assert pepper.encode() not in content, path.name
    for path in (sample_home.cdp_file, sample_home.private_file):
        columns = query(path, "select distinct column_name from information_schema.columns")
        assert not [row[0] for row in columns if "salt" in row[0] or "pepper" in row[0]]


def test_masked_values_still_join(sample_home: Home) -> None:
    joined = (
        "select count(distinct customers.customer_id) from profile.customers inner join "
        "profile.contact_permissions as points on customers.email = points.contact_point"
    )
    masked, unmasked = (
        query(path, joined)[0][0] for path in (sample_home.cdp_file, sample_home.private_file)
    )
    assert masked == unmasked > 100


def test_the_private_file_is_for_its_owner_alone(sample_home: Home) -> None:
    assert stat.S_IMODE(sample_home.private_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(sample_home.secrets_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(sample_home.cdp_file.stat().st_mode) == 0o644


def test_both_files_hold_tables_that_another_process_reads(sample_home: Home) -> None:
    for path in (sample_home.cdp_file, sample_home.private_file):
        kinds = {row[2] for row in query(path, TABLES)}
        assert kinds == {"BASE TABLE"}
    read = (
        "import duckdb, json, sys\n"
        "counts = {}\n"
        "with duckdb.connect(sys.argv[1], read_only=True) as connection:\n"
        f"    for schema, table, _ in connection.execute({TABLES!r}).fetchall():\n"
        "        name = f'{schema}.{table}'\n"
        "        counts[name] = connection.execute(f'select count(*) from {name}').fetchone()[0]\n"
        "print(json.dumps(counts))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", read, str(sample_home.cdp_file)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    counts = json.loads(told.stdout)
    assert counts["profile.customers"] > 500 and counts["identity.identity_map"] > 1000
    assert not [name for name in counts if name.startswith(("staging.", "raw_", "activation."))]


def test_every_published_column_is_the_one_described(
    sample_home: Home, manifest: dict[str, Any]
) -> None:
    described = {
        (node["schema"], node["name"]): set(node["columns"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    found: dict[tuple[str, str], set[str]] = {}
    for schema, table, column in query(
        sample_home.private_file,
        "select table_schema, table_name, column_name from information_schema.columns",
    ):
        if schema not in {"publication", "warehouse_audiences"}:
            found.setdefault((schema, table), set()).add(column)
    differing = {key: columns ^ described[key] for key, columns in found.items()}
    assert {key: names for key, names in differing.items() if names} == {}


def test_the_audience_convention_has_its_three_tables_with_these_columns(
    sample_home: Home,
) -> None:
    for path in (sample_home.cdp_file, sample_home.private_file):
        rows = query(
            path,
            "select table_name, column_name from information_schema.columns "
            "where table_schema = 'warehouse_audiences' order by table_name, ordinal_position",
        )
        assert rows == [
            ("audience_memberships", "person_id"),
            ("audience_memberships", "audience_id"),
            ("audiences", "id"),
            ("audiences", "name"),
            ("people", "id"),
        ]
        strangers = query(
            path,
            "select count(*) from warehouse_audiences.audience_memberships as members "
            "left join warehouse_audiences.people on people.id = members.person_id "
            "left join warehouse_audiences.audiences on audiences.id = members.audience_id "
            "where people.id is null or audiences.id is null",
        )
        members = query(path, "select count(*) from warehouse_audiences.audience_memberships")
        assert strangers == [(0,)] and members[0][0] > 50


def hashes(home: Home) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (home.cdp_file, home.private_file)
    }


def test_a_changed_pepper_is_refused_and_nothing_is_published(
    sample_home: Home, copy_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_home(sample_home)
    before = hashes(home)
    monkeypatch.setenv("CDP_ID_PEPPER", "another pepper than the one of this home")
    with pytest.raises(CdpError, match="CDP_ID_PEPPER is not the pepper"):
        publish(home, AS_OF, "code")
    assert hashes(home) == before
    monkeypatch.delenv("CDP_ID_PEPPER")
    publish(home, AS_OF, "code")
    assert hashes(home) != before


def test_a_red_check_leaves_the_published_files_byte_for_byte(
    sample_home: Home, copy_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_home(sample_home)
    before = hashes(home)
    monkeypatch.setenv("CDP_AS_OF_DATE", AS_OF.isoformat())

    def check_customers(home: Home, as_of: date, arguments: list[str]) -> str:
        """The checks of one table; all of them would take half a minute."""
        chosen = ["--select", "customers"] if arguments[0] == "test" else []
        return run_dbt(home, as_of, [*arguments, *chosen])

    monkeypatch.setattr("orchestration.project.run_dbt", check_customers)
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute("insert into profile.customers select * from profile.customers limit 1")
    ended = CliRunner().invoke(main, ["--home", str(home.root), "publish"])
    assert ended.exit_code == 1
    assert "unique_customers_customer_id" in ended.stderr
    assert hashes(home) == before
    assert not list(home.published.glob(".*.new"))


def test_readers_see_whole_files_while_others_are_swapped_in(
    sample_home: Home, copy_home: Any
) -> None:
    home = copy_home(sample_home)
    customers = query(home.cdp_file, "select count(*) from profile.customers")[0][0]
    with reader_of(home) as readings:
        published = {publish(home, AS_OF, "code").publication_id for _ in range(4)}
    assert [told["error"] for told in readings if told["error"]] == []
    assert {told["customers"] for told in readings} == {customers}
    assert {told["file"] for told in readings} == {"cdp.duckdb", "private.duckdb"}
    assert len(published & {told["publication"] for told in readings}) >= 2


def test_readers_never_see_half_a_build(second_day: Any, sample_home: Home) -> None:
    readings = second_day.readings
    assert len(readings) > 50
    assert [told["error"] for told in readings if told["error"]] == []
    old = query(sample_home.cdp_file, "select count(*) from profile.customers")[0][0]
    new = query(second_day.home.cdp_file, "select count(*) from profile.customers")[0][0]
    assert {told["customers"] for told in readings} <= {old, new}
    assert all(told["customers"] == told["distinct"] for told in readings)
    assert all(told["strangers"] == 0 for told in readings)
    for name in ("cdp.duckdb", "private.duckdb"):
        seen = [told["publication"] for told in readings if told["file"] == name]
        assert len(set(seen)) == 2 and seen == sorted(seen, key=seen.index), "old, then new"


def test_an_unknown_mask_is_refused_by_the_column_name() -> None:
    with pytest.raises(CdpError, match="Column email asks for mask 'rot13'"):
        masked_expression("email", "rot13")
