"""What a declaration may say of a column beyond its type: other names, times as numbers."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from support import AS_OF, make_home, query, silent

from orchestration.home import Home
from orchestration.landing import land
from orchestration.landing.declarations import DeclarationError, load_declarations
from orchestration.warehouse.duckdb import DuckDbWarehouse


def project(folder: Path, columns: list[dict[str, Any]], **meta: Any) -> Path:
    """A project that declares one table."""
    place = folder / "models/staging/tool"
    place.mkdir(parents=True, exist_ok=True)
    (folder / "seeds").mkdir(exist_ok=True)
    table = {"name": "rows", "config": {"meta": meta}, "columns": columns}
    source = {"name": "tool", "schema": "raw_tool", "tables": [table]}
    (place / "_tool__sources.yml").write_text(yaml.safe_dump({"sources": [source]}))
    return folder


def column(name: str, data_type: str = "string", **meta: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "config": {"meta": meta}}


def test_a_column_has_its_other_names(tmp_path: Path) -> None:
    declared = load_declarations(
        project(tmp_path, [column("total", "bigint", also=["total_set_shop_amount"])])
    )
    assert declared["tool"].tables["rows"].columns[0].also == ("total_set_shop_amount",)


@pytest.mark.parametrize(
    "columns",
    [
        [column("total", also=["amount"]), column("amount")],
        [column("total", also=["amount"]), column("sum", also=["Amount"])],
        [column("total", also=["TOTAL"])],
    ],
    ids=["a column's name", "another's other name", "its own name"],
)
def test_an_other_name_that_is_taken_is_refused(
    tmp_path: Path, columns: list[dict[str, Any]]
) -> None:
    with pytest.raises(DeclarationError, match="declared twice"):
        load_declarations(project(tmp_path, columns))


@pytest.mark.parametrize(
    ("form", "data_type"), [("epoch_milliseconds", "bigint"), ("json", "timestamp")]
)
def test_a_format_needs_its_type(tmp_path: Path, form: str, data_type: str) -> None:
    with pytest.raises(DeclarationError, match=f"format {form} needs data_type"):
        load_declarations(project(tmp_path, [column("a", data_type, format=form)]))


def test_an_unknown_format_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="use json, epoch_milliseconds"):
        load_declarations(project(tmp_path, [column("a", format="xml")]))


# Landed -----------------------------------------------------------------------------------------

COLUMNS = [
    column("id", required=True),
    column("total", "bigint", required=True, also=["total_set", "totals"]),
    column("moment", "timestamp", format="epoch_milliseconds"),
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


def landed(home: Home, tmp_path: Path) -> list[tuple[Any, ...]]:
    declared = load_declarations(project(tmp_path / "project", COLUMNS, key=["id"]))
    with DuckDbWarehouse(home.warehouse) as warehouse:
        report = land(home, warehouse, declared, AS_OF, silent)
    assert not report.refused, [refused.text for refused in report.refused]
    return query(home.warehouse, "select id, total, moment, _extra from raw_tool.rows order by id")


def put(home: Home, name: str, text: str) -> None:
    folder = home.landing / "tool/rows"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_a_file_may_call_the_column_by_another_name(home: Home, tmp_path: Path) -> None:
    put(home, "a.csv", "id,total\na,1\n")
    put(home, "b.csv", "id,total_set\nb,2\n")
    put(home, "c.jsonl", '{"id": "c", "totals": 3}\n')
    (home.landing / "tool/rows").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": ["d"], "total_set": [4]}), home.landing / "tool/rows/d.parquet")
    assert [row[:2] for row in landed(home, tmp_path)] == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_its_own_name_goes_before_the_others_which_are_kept_aside(
    home: Home, tmp_path: Path
) -> None:
    put(home, "a.csv", "id,total_set,total\na,9,1\n")
    put(home, "b.jsonl", '{"id": "b", "totals": 9, "total": 2}\n')
    assert landed(home, tmp_path) == [
        ("a", 1, None, '{"total_set":"9"}'),
        ("b", 2, None, '{"totals":9}'),
    ]


def test_a_time_may_travel_as_milliseconds(home: Home, tmp_path: Path) -> None:
    put(home, "a.csv", "id,total,moment\na,1,1790000000123\nb,1,0\nc,1,\n")
    assert [row[2] for row in landed(home, tmp_path)] == [
        datetime(2026, 9, 21, 14, 13, 20, 123_000),
        datetime(1970, 1, 1),
        None,
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("2026-09-21 14:13:20", "type"),
        ("-1", "type"),
        ("1.5", "type"),
        ("9790000000123", "date_out_of_range"),
        ("123456789012345678901234567890", "type"),
    ],
)
def test_what_is_no_such_time_is_told(home: Home, tmp_path: Path, text: str, rule: str) -> None:
    put(home, "a.csv", f"id,total,moment\na,1,{text}\n")
    assert landed(home, tmp_path) == []
    assert query(home.warehouse, "select column_name, rule from raw_tool.rows__rejected") == [
        ("moment", rule)
    ]


def test_an_hour_may_have_one_digit(home: Home, tmp_path: Path) -> None:
    """Spreadsheets and some connectors write 3:15:52."""
    columns = [column("id", required=True), column("moment", "timestamp")]
    declared = load_declarations(project(tmp_path / "project", columns, key=["id"]))
    put(home, "a.csv", "id,moment\na,2024-12-30 3:15:52\nb,2024-12-30 25:15:52\n")
    with DuckDbWarehouse(home.warehouse) as warehouse:
        land(home, warehouse, declared, AS_OF, silent)
    assert query(home.warehouse, "select id, moment from raw_tool.rows") == [
        ("a", datetime(2024, 12, 30, 3, 15, 52))
    ]
    assert query(home.warehouse, "select _row, rule from raw_tool.rows__rejected") == [(2, "type")]
