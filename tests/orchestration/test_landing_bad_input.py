"""Bad input: each fault is told with file, row, column and rule; the rest goes on."""

import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_landing_support import (
    HEADER,
    Company,
    csv_text,
    landing_company,  # noqa: F401
    order,
)

from orchestration.landing import LandingReport, pending_files

GOOD = csv_text(order(1), order(2))


def land_with_good(company: Company, name: str, content: str | bytes) -> LandingReport:
    """Land a bad file beside a good one; the good one must always arrive."""
    company.put("a_good.csv", GOOD)
    company.put(name, content)
    report = company.land()
    assert {("o1",), ("o2",)} <= set(company.current())
    assert company.archived()["a_good.csv"] == GOOD.encode()
    company.reconcile()
    return report


def assert_refused(
    company: Company, report: LandingReport, name: str, rule: str, *words: str
) -> None:
    """The file as a whole is refused, told each run, left where it is and recorded once."""
    [refused] = report.refused
    assert (refused.file, refused.rule) == (f"order/{name}", rule)
    for word in words:
        assert word in (refused.message or "")
    assert f"shop/order/{name}" in refused.text and f"[{rule}]" in refused.text
    path = company.home.landing / "shop" / "order" / name
    assert path.exists()
    assert path not in pending_files(company.home)
    assert [file.rule for file in company.land().refused] == [rule]
    recorded = company.rows(
        f"select status, rule from raw_landing.loads where file = 'order/{name}'"
    )
    assert recorded == [("refused", rule)]
    assert company.current() == [("o1",), ("o2",)]


def assert_one_rejected(
    company: Company,
    report: LandingReport,
    row: int,
    column: str | None,
    rule: str,
    *words: str,
    name: str = "bad.csv",
) -> str:
    """One row of the bad file is rejected, the file's other rows are loaded."""
    [found] = company.rejected()
    assert found[:4] == (f"order/{name}", row, column, rule)
    for word in words:
        assert word in found[4]
    assert report.rejected == 1
    [told] = report.of("shop", "order").rejections
    assert (told.file, told.row, told.column, told.rule) == found[:4]
    assert name in company.archived(), "the original is kept"
    return str(found[4])


# Whole files ----------------------------------------------------------------------------------


def test_missing_required_column(company: Company) -> None:
    text = "id,email,updated_at\no9,x@example.com,2026-01-01\n"
    report = land_with_good(company, "bad.csv", text)
    assert_refused(company, report, "bad.csv", "missing_column", "total")


def test_missing_optional_column_is_noted_and_null(company: Company) -> None:
    report = land_with_good(company, "some.csv", "ID, Total ,updated_at\no9,5,2026-01-01\n")
    assert report.refused == []
    assert company.current(columns="id, total, email")[-1][0] == "o9"
    [file] = [file for file in report.of("shop", "order").files if "some" in file.file]
    assert "absent, read as null: email" in (file.message or "")


def test_wrong_delimiter(company: Company) -> None:
    report = land_with_good(company, "bad.csv", GOOD.replace(",", ";"))
    assert_refused(company, report, "bad.csv", "wrong_delimiter", "semicolons", "commas")


def test_header_names_a_column_twice(company: Company) -> None:
    report = land_with_good(company, "bad.csv", "id,id,total,updated_at\n1,2,3,2026-01-01\n")
    assert_refused(company, report, "bad.csv", "duplicate_column", "id")


def test_byte_order_mark_is_accepted_and_noted(company: Company) -> None:
    report = land_with_good(company, "bom.csv", b"\xef\xbb\xbf" + csv_text(order(3)).encode())
    assert ("o3",) in company.current()
    [file] = [file for file in report.of("shop", "order").files if "bom" in file.file]
    assert "byte order mark" in (file.message or "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16(company: Company, encoding: str) -> None:
    report = land_with_good(company, "bad.csv", GOOD.encode(encoding))
    assert_refused(company, report, "bad.csv", "utf_16", "save it again as UTF-8")


def test_empty_file(company: Company) -> None:
    report = land_with_good(company, "bad.csv", b"")
    assert_refused(company, report, "bad.csv", "empty_file", "no bytes")


def test_header_only_is_a_load_without_rows(company: Company) -> None:
    report = land_with_good(company, "none.csv", HEADER + "\n")
    assert report.refused == [] and report.landed == 2
    assert "none.csv" in company.archived()


def test_zip_named_csv(company: Company) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("orders.csv", GOOD)
    report = land_with_good(company, "bad.csv", packed.getvalue())
    assert_refused(company, report, "bad.csv", "wrong_format", "ZIP", "unpack")


def test_gzip_named_csv(company: Company) -> None:
    report = land_with_good(company, "bad.csv", gzip.compress(GOOD.encode()))
    assert_refused(company, report, "bad.csv", "wrong_format", "gzip")


def test_parquet_named_csv(company: Company, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["o9"]}), tmp_path / "x.parquet")
    report = land_with_good(company, "bad.csv", (tmp_path / "x.parquet").read_bytes())
    assert_refused(company, report, "bad.csv", "wrong_format", "Parquet")


def test_json_array_named_jsonl(company: Company) -> None:
    report = land_with_good(company, "bad.jsonl", '[{"id": "o9"}]')
    assert_refused(company, report, "bad.jsonl", "not_json_lines", "one object per line")


def test_refused_file_is_loaded_once_it_is_mended(company: Company) -> None:
    land_with_good(company, "bad.csv", b"")
    company.put("bad.csv", csv_text(order(3)))
    assert len(pending_files(company.home)) == 1
    assert company.land().refused == []
    assert ("o3",) in company.current()


def test_links_and_strangers_are_told_and_left_alone(company: Company, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(csv_text(order(9)))
    company.put("a_good.csv", GOOD)
    link = company.home.landing / "shop" / "order" / "link.csv"
    link.symlink_to(secret)
    folder = company.home.landing / "shop" / "order" / "folder"
    folder.symlink_to(tmp_path)
    company.put("stray.csv", GOOD, table="nothing")
    company.put("notes.txt", "hello")
    report = company.land()
    assert sorted(file.file for file in report.refused) == ["order/folder", "order/link.csv"]
    assert {file.rule for file in report.refused} == {"link"}
    told = " ".join(report.ignored)
    assert "declares no table 'nothing'" in told and "notes.txt: unknown ending" in told
    assert company.current() == [("o1",), ("o2",)]
    assert secret.exists() and link.is_symlink()
    assert pending_files(company.home) == []


# Single rows ----------------------------------------------------------------------------------

ONE_ROW = {
    "wrong_type_number": ({"pieces": "two"}, "pieces", "type", "'two' is no whole number"),
    "fraction_in_bigint": ({"pieces": "2.5"}, "pieces", "type", "'2.5' is no whole number"),
    "wrong_type_boolean": ({"is_test": "maybe"}, "is_test", "type", "boolean"),
    "wrong_type_date": ({"due": "01/10/2026"}, "due", "type", "YYYY-MM-DD"),
    "no_such_day": ({"due": "2026-02-30"}, "due", "type", "is no date"),
    "wrong_type_time": ({"updated_at": "yesterday"}, "updated_at", "type", "timestamp"),
    "decimal_overflow": ({"total": "9" * 20}, "total", "type", "fits decimal(18,4)"),
    "infinity": ({"weight": "inf"}, "weight", "type", "'inf' is no number"),
    "too_large_a_double": ({"weight": "1e999"}, "weight", "type", "is no number"),
    "not_a_number": ({"weight": "NaN"}, "weight", "type", "'NaN' is no number"),
    "year_0001": ({"due": "0001-01-01"}, "due", "date_out_of_range", "outside 1900-01-01"),
    "year_9999": (
        {"updated_at": "9999-12-31T23:59:59Z"},
        "updated_at",
        "date_out_of_range",
        "2100-01-01",
    ),
    "negative_price": ({"total": "-0.01"}, "total", "range", "'-0.01' is below 0"),
    "above_maximum": ({"pieces": "1001"}, "pieces", "range", "above 1000"),
    "unknown_currency": ({"currency": "XXX"}, "currency", "accepted_values", "currencies."),
    "unknown_status": ({"status": "gone"}, "status", "accepted_values", "open, paid"),
    "required_empty": ({"id": ""}, "id", "required", "required, but empty"),
    "table_rule": ({"refunded": "13"}, "refunded", "refund_within_total", "than was paid"),
    "json_column": ({"props": "{oops"}, "props", "json", "no valid JSON"),
}


@pytest.mark.parametrize("case", ONE_ROW)
def test_one_bad_value(company: Company, case: str) -> None:
    given, column, rule, words = ONE_ROW[case]
    text = csv_text(order(3), order(4, **given), order(5))
    report = land_with_good(company, "bad.csv", text)
    assert_one_rejected(company, report, 2, column, rule, f"{column}: ", words)
    assert company.current() == [("o1",), ("o2",), ("o3",), ("o5",)]


def test_all_faults_of_a_row_are_told_and_personal_values_are_not(company: Company) -> None:
    bad = order(4, birthday="5 May 1990", currency="XXX", pieces="two")
    report = land_with_good(company, "bad.csv", csv_text(order(3), bad))
    message = assert_one_rejected(company, report, 2, "currency", "accepted_values")
    assert "pieces: 'two'" in message and "birthday: the value is no date" in message
    assert "1990" not in message and "person4" not in message
    assert "1990" not in str(report.as_dict()) and "person4" not in str(report.as_dict())


def test_latin_1(company: Company) -> None:
    text = csv_text(order(3), order(4, props='"""Zo\u00eb"""'), order(5)).encode("latin-1")
    report = land_with_good(company, "bad.csv", text)
    assert_one_rejected(company, report, 2, "props", "encoding", "byte 0xEB", "UTF-8")
    assert ("o5",) in company.current()


def test_ragged_rows(company: Company) -> None:
    text = csv_text(order(3), order(4) + ",more", order(5), "o6,too,short")
    land_with_good(company, "bad.csv", text)
    assert company.rejected() == [
        ("order/bad.csv", 2, None, "ragged", "the row has 14 fields, the header 13"),
        ("order/bad.csv", 4, None, "ragged", "the row has 3 fields, the header 13"),
    ]
    assert ("o5",) in company.current()


def test_field_of_10_mb(company: Company) -> None:
    huge = order(4, props='"' + "x" * 10_000_000 + '"')
    report = land_with_good(company, "bad.csv", csv_text(order(3), huge, order(5)))
    assert_one_rejected(company, report, 2, "props", "field_too_long", "10,000,000 characters")
    [(excerpt,)] = company.rows('select length(raw_text) from raw_shop."order__rejected"')
    assert excerpt == 1000
    assert ("o5",) in company.current()
    assert len(company.archived()["bad.csv"]) > 10_000_000, "the archive holds it whole"


def test_unterminated_quote(company: Company) -> None:
    text = csv_text(order(3), order(4, status='"paid'), order(5), order(6))
    report = land_with_good(company, "bad.csv", text)
    assert_one_rejected(company, report, 2, None, "unterminated_quote", "3 line(s)")
    assert ("o3",) in company.current() and ("o5",) not in company.current()


def test_quote_that_is_not_doubled(company: Company) -> None:
    text = csv_text(order(3), order(4, status='"pa"id"'), order(5))
    report = land_with_good(company, "bad.csv", text)
    assert_one_rejected(company, report, 2, None, "quote", "not doubled")
    assert ("o5",) in company.current()


def test_quoted_commas_and_line_breaks_are_one_row(company: Company) -> None:
    text = csv_text(order(3, props='"[""a,b"",\n1]"'), order(4, pieces="x"))
    report = land_with_good(company, "bad.csv", text)
    assert_one_rejected(company, report, 2, "pieces", "type")
    assert ("o3", '["a,b",1]') in company.current(columns="id, props")


def test_nul_byte(company: Company) -> None:
    report = land_with_good(company, "bad.csv", csv_text(order(3), order(4, status="pa\0id")))
    assert_one_rejected(company, report, 2, "status", "nul")


def test_old_line_ends_and_blank_lines(company: Company) -> None:
    text = csv_text(order(3), "", order(4)).replace("\n", "\r\n") + "\r\n"
    land_with_good(company, "dos.csv", text)
    assert company.current() == [("o1",), ("o2",), ("o3",), ("o4",)]


JSON_ROWS = {
    "duplicate_key": ('{"id": "o4", "id": "o5"}', None, "json", "'id' is given twice"),
    "nested_duplicate": (
        '{"id": "o4", "props": {"a": 1, "a": 2}}',
        None,
        "json",
        "'a' is given twice",
    ),
    "nan": ('{"id": "o4", "weight": NaN}', None, "json", "NaN"),
    "infinite": ('{"id": "o4", "weight": 1e999}', None, "json", "too large"),
    "broken": ('{"id": "o4", ', None, "json", "not valid JSON"),
    "no_object": ('"o4"', None, "json", "no JSON object"),
    "nested_scalar": ('{"id": {"a": 1}}', "id", "type", "an object where string"),
    "deep": ("[" * 100_000, None, "json", "nested too deeply"),
    "surrogate": ('{"id": "\\ud800"}', "id", "encoding", "surrogate"),
}


@pytest.mark.parametrize("case", JSON_ROWS)
def test_bad_json_lines(company: Company, case: str) -> None:
    line, column, rule, words = JSON_ROWS[case]
    good = (
        '{"id": "o%s", "total": %s, "updated_at": "2026-01-01T10:00:00+02:00", "props": {"b": 1}}'
    )
    text = "\n".join([good % (3, "12.10"), line, good % (5, "7")])
    report = land_with_good(company, "bad.jsonl", text)
    assert_one_rejected(company, report, 2, column, rule, words, name="bad.jsonl")
    found = company.rows(
        'select id, total::varchar, updated_at::varchar, props from raw_shop."order" '
        "where id in ('o3', 'o5') order by id"
    )
    assert found == [
        ("o3", "12.1000", "2026-01-01 08:00:00", '{"b":1}'),
        ("o5", "7.0000", "2026-01-01 08:00:00", '{"b":1}'),
    ]


def test_numbers_are_kept_as_their_value_and_json_as_engines_agree(company: Company) -> None:
    line = (
        '{"id": "o3", "total": 6.5e-10, "updated_at": "2026-01-01", '
        '"props": {"phone": 901234567.0, "far": 12345678.5, "near": 0.00012, "price": 9.90}}'
    )
    second = '{"id": "o4", "total": 1.5e2, "updated_at": "2026-01-01", "props": {}}'
    company.put("numbers.jsonl", f"{line}\n{second}")
    assert company.land().refused == []
    found = company.rows('select total::varchar, props from raw_shop."order" order by id')
    assert found == [
        ("0.0000", '{"far":"12345678.5","near":"0.00012","phone":901234567,"price":9.9}'),
        ("150.0000", "{}"),
    ]


def test_parquet_types_and_bad_values(company: Company, tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["o3", "o4", "o5"],
            "total": [1.5, float("nan"), 2.25],
            "updated_at": pa.array(["2026-01-01T00:00:00"] * 3).cast(pa.timestamp("us")),
            "props": pa.array([{"k": 1}, {"k": 2}, None]),
            "extra": [1, 2, 3],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    report = land_with_good(company, "bad.parquet", (tmp_path / "x.parquet").read_bytes())
    assert_one_rejected(
        company, report, 2, "total", "type", "'nan' is no number", name="bad.parquet"
    )
    [row] = company.rows("select total, props, _extra from raw_shop.\"order\" where id = 'o3'")
    assert (float(row[0]), row[1], row[2]) == (1.5, '{"k":1}', '{"extra":"1"}')
    assert report.of("shop", "order").unknown_columns == ["extra"]


def test_nested_parquet_column_where_text_is_declared(company: Company, tmp_path: Path) -> None:
    table = pa.table({"id": [["o3"]], "total": [1], "updated_at": ["2026-01-01"]})
    pq.write_table(table, tmp_path / "x.parquet")
    report = land_with_good(company, "bad.parquet", (tmp_path / "x.parquet").read_bytes())
    assert_refused(company, report, "bad.parquet", "type", "id is nested")
