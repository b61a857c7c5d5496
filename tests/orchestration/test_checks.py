"""Checks: clean data is all green, and each planted fault turns a check of that name red."""

import re

import pandas as pd
import pytest
from support import PROJECT
from test_landing_support import (
    AS_OF,
    Company,
    csv_text,
    landing_company,  # noqa: F401
    order,
)

from orchestration.checks.expectations import (
    CheckResult,
    _days,
    check_landed_table,
    check_payload,
    landed_expectations,
    snake,
)
from orchestration.checks.report import write_landing_report, write_payload_report
from orchestration.landing import load_declarations

CLEAN = [order(number) for number in range(1, 31)]


def check(company: Company) -> dict[str, CheckResult]:
    report = company.land()
    table = company.declarations["shop"].tables["order"]
    results = check_landed_table(table, report.of("shop", "order"), AS_OF)
    write_landing_report(company.home, AS_OF, results, report.as_dict())
    return {result.name: result for result in results}


def red(results: dict[str, CheckResult]) -> set[str]:
    return {name for name, result in results.items() if not result.passed}


def test_clean_data_is_all_green(company: Company) -> None:
    company.put("a.csv", csv_text(*CLEAN))
    results = check(company)
    assert red(results) == set() and len(results) > 25
    assert results["id_key_is_given"].observed == "0 of 30 unexpected"
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in results)
    assert {result.asset for result in results.values()} == {"shop.order"}


FAULTS = {
    "id_key_is_given": csv_text(*CLEAN, order(99, id="")),
    "total_is_given": csv_text(*CLEAN, order(99, total="")),
    "total_is_readable": csv_text(*CLEAN, order(99, total="twelve")),
    "total_is_in_range": csv_text(*CLEAN, order(99, total="-5")),
    "pieces_is_in_range": csv_text(*CLEAN, order(99, pieces="5000")),
    "pieces_is_readable": csv_text(*CLEAN, order(99, pieces="1.5")),
    "weight_is_readable": csv_text(*CLEAN, order(99, weight="heavy")),
    "is_test_is_readable": csv_text(*CLEAN, order(99, is_test="perhaps")),
    "due_is_readable": csv_text(*CLEAN, order(99, due="1.10.2026")),
    "due_is_in_time": csv_text(*CLEAN, order(99, due="9999-12-31")),
    "updated_at_is_readable": csv_text(*CLEAN, order(99, updated_at="now")),
    "updated_at_is_in_time": csv_text(*CLEAN, order(99, updated_at="0001-01-01")),
    "currency_is_accepted": csv_text(*CLEAN, order(99, currency="XXX")),
    "status_is_accepted": csv_text(*CLEAN, order(99, status="lost")),
    "few_rows_break_refund_within_total": csv_text(*CLEAN, order(99, refunded="99")),
    "few_rows_break_ragged": csv_text(*CLEAN, "o99,x"),
    "few_rows_break_encoding": csv_text(*CLEAN, order(99, email="zo\u00eb")).encode("latin-1"),
    "few_rows_break_unterminated_quote": csv_text(*CLEAN, order(99, status='"paid')),
    "few_rows_break_quote": csv_text(*CLEAN, order(99, status='"pa"id"')),
    "few_rows_break_field_too_long": csv_text(*CLEAN, order(99, props="x" * 1_100_000)),
    "few_rows_break_nul": csv_text(*CLEAN, order(99, status="\0")),
    "few_rows_break_json": csv_text(*CLEAN, order(99, props="{no")),
    "rejected_share_is_small": csv_text(*CLEAN, order(99, pieces="x")),
    "no_file_is_without_rows": csv_text(),
    "no_unknown_columns": "id,total,updated_at,colour\no1,1,2026-01-01,red\n",
    "no_file_is_refused": "",
    "times_are_not_in_the_future": csv_text(*CLEAN, order(99, updated_at="2027-01-01")),
    "duplicate_share_is_small": csv_text(*[CLEAN[0]] * 5),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_turns_its_check_red(company: Company, name: str) -> None:
    content = FAULTS[name]
    company.put("a.csv", content)
    results = check(company)
    assert name in red(results)
    page = (company.home.reports / "landing.html").read_text()
    assert name in page and ("failed" in page or "warned" in page)


def test_every_derived_expectation_has_a_planted_fault(company: Company) -> None:
    derived = landed_expectations(company.declarations["shop"].tables["order"])
    twins = {"birthday_is_readable", "birthday_is_in_time", "updated_at_is_given"}
    twins |= {"refunded_is_readable"}
    assert {expectation.name for expectation in derived} - set(FAULTS) == twins


def test_mostly_and_limits_are_settings(company: Company) -> None:
    company.put("a.csv", csv_text(*CLEAN, order(99, pieces="x")))
    report = company.land().of("shop", "order")
    table = company.declarations["shop"].tables["order"]
    results = check_landed_table(table, report, AS_OF, mostly=0.9)
    assert red({r.name: r for r in results}) == {"rejected_share_is_small"}
    moved = {"rejected_share_is_small": 0.1}
    results = check_landed_table(table, report, AS_OF, mostly=0.9, settings=moved)
    assert red({r.name: r for r in results}) == set()


def test_results_and_page_hold_no_values_and_escape_all(company: Company) -> None:
    company.put("<b>a.csv", csv_text(*CLEAN, order(99, email="secret@example.com", status="<i>")))
    company.put("b.csv", "id,total,updated_at,<script>\no1,1,2026-01-01,secret\n")
    results = check(company)
    assert "secret" not in str(results)
    page = (company.home.reports / "landing.html").read_text()
    assert "secret" not in page and "person1" not in page
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "http://" not in page and "https://" not in page


def test_names_are_snake_case() -> None:
    assert [
        snake(name) for name in ("InvoiceNo", "messageId", "_fivetran_synced", "CustomerID")
    ] == [
        "invoice_no",
        "message_id",
        "fivetran_synced",
        "customer_id",
    ]


# Payloads -------------------------------------------------------------------------------------


def payload(**changes: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "customer_id": ["c1", "c2", "c3"],
            "email": ["a@example.com", None, "c@example.com"],
            "withheld_reason": [None, "no_consent", None],
        }
    )
    for column, value in changes.items():
        frame.loc[2, column] = value
    return frame


def test_a_clean_payload_is_all_green(company: Company) -> None:
    results = check_payload("email__welcome", payload())
    assert [r.name for r in results if not r.passed] == [] and len(results) == 6
    page = write_payload_report(company.home, AS_OF, results).read_text()
    assert "All 6 checks passed" in page and "email__welcome" in page


PAYLOAD_FAULTS = {
    "key_is_given": payload(customer_id=None),
    "key_is_unique": payload(customer_id="c1"),
    "permitted_rows_have_a_contact_point": payload(email=""),
    "withheld_rows_have_no_contact_point": payload(withheld_reason="no_consent"),
    "email_is_an_address": payload(email="not an address"),
    "payload_has_its_columns": payload().drop(columns="withheld_reason"),
}


@pytest.mark.parametrize("name", PAYLOAD_FAULTS)
def test_a_planted_payload_fault_turns_its_check_red(name: str) -> None:
    results = check_payload("email__welcome", PAYLOAD_FAULTS[name])
    assert {r.name for r in results if not r.passed} == {name}
    assert not any("example.com" in str(result) for result in results)


def test_an_empty_payload_is_green() -> None:
    assert all(result.passed for result in check_payload("email__welcome", payload()[:0]))


def test_a_time_in_milliseconds_is_readable_as_its_declaration_says() -> None:
    """Every LINE event was told to be unreadable, on the page that a new user opens first."""
    table = load_declarations(PROJECT)["line"].tables["events"]
    assert table.column("timestamp").format == "epoch_milliseconds"
    (check,) = [each for each in landed_expectations(table) if each.name == "timestamp_is_readable"]
    shape = check.arguments["regex"]
    assert re.match(shape, "1759312800000") and re.match(shape, " 1759312800000 ")
    assert not re.match(shape, "now") and not re.match(shape, "2026-10-01 10:00:00")
    assert "milliseconds" in check.description


def test_a_time_in_milliseconds_may_lie_in_the_future_too() -> None:
    column = load_declarations(PROJECT)["line"].tables["events"].column("timestamp")
    told = pd.Series(["1759312800000", "x", None, "99999999999999"])
    assert _days(column, told).fillna("").tolist() == ["2025-10-01", "", "", "5138-11-16"]
