"""A real retailer's 541,909 invoice lines: the published figures, from landed file to RFM."""

import csv
import os
import random
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import skip_or_fail
from support import AGAIN, PROJECT, Dbt, make_home, query, run_home

from orchestration.home import Home

pytestmark = pytest.mark.reference

AS_OF = date(2011, 12, 10)
# Sales only: a customer is known, it is no credit note, something was sold for money.
SALES = """
select order_lines.customer_id, orders.order_id, orders.ordered_at, order_lines.line_amount
from profile.order_lines
inner join profile.orders on order_lines.order_id = orders.order_id
where order_lines.customer_id is not null and not orders.is_credit_note
    and order_lines.quantity > 0 and order_lines.unit_price > 0
"""
NUMBERS = """
select identifier_value, customer_id from profile.customer_identifiers
where identifier_type = 'erp_customer_no'
"""


@pytest.fixture(scope="session")
def invoices() -> list[Path]:
    """The 305 daily files, in the order of their days."""
    root = Path(os.environ.get("CDP_REFERENCE_DATA") or PROJECT.parent / "shared/data")
    folder = root / "uci_online_retail/by-day"
    if not folder.is_dir():
        skip_or_fail(
            "the UCI Online Retail files are not here; set CDP_REFERENCE_DATA to the folder that "
            "holds uci_online_retail/by-day"
        )
    files = sorted(folder.glob("*.csv"))
    assert len(files) == 305
    return files


def land(home: Home, files: list[Path]) -> None:
    folder = home.landing / "erp/invoice_lines"
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copy(path, folder / path.name)


@pytest.fixture(scope="module")
def retailer(invoices: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A company with nothing but an ERP, the whole way; only for reading."""
    home = make_home(tmp_path_factory.mktemp("retailer"))
    land(home, invoices)
    run_home(home, AS_OF)
    return home


def ask(home: Home, statement: str) -> tuple[Any, ...]:
    return query(home.private_file, statement)[0]


def test_every_line_is_loaded_and_none_is_rejected(retailer: Home) -> None:
    assert query(retailer.private_file, "select * exclude (source) from reporting.landed_rows") == [
        (541_909, 541_909, 0, 0, 0, 0)
    ]


def test_every_line_stays_a_line_equal_ones_too(retailer: Home) -> None:
    assert ask(
        retailer,
        "select count(*), count(distinct order_id), count(distinct customer_id), sum(quantity), "
        "round(sum(line_amount), 2) from profile.order_lines",
    ) == (541_909, 25_900, 4_372, 5_176_450, Decimal("9747747.93"))


def test_kinds_of_lines_and_invoices_are_told_apart(retailer: Home) -> None:
    assert ask(
        retailer,
        "select count(*) filter (where order_id like 'erp:C%'), "
        "count(distinct order_id) filter (where order_id like 'erp:C%'), "
        "count(distinct customer_id) filter (where order_id like 'erp:C%'), "
        "count(*) filter (where customer_id is null), "
        "count(*) filter (where quantity <= 0), count(*) filter (where unit_price <= 0), "
        "sum(line_amount) filter (where line_type = 'bad_debt'), "
        "count(*) filter (where line_type = 'bad_debt') from profile.order_lines",
    ) == (9_288, 3_836, 1_589, 135_080, 10_624, 2_517, Decimal("-11062.0600"), 3)


def test_sales_are_the_published_ones(retailer: Home) -> None:
    assert ask(
        retailer,
        "select count(*), count(distinct customer_id), count(distinct order_id), "
        f"round(sum(line_amount), 2) from ({SALES})",
    ) == (397_884, 4_338, 18_532, Decimal("8911407.90"))


def test_recency_frequency_and_money_are_the_published_ones(retailer: Home) -> None:
    rows = query(
        retailer.private_file,
        f"""
        with customers as (
            select
                customer_id,
                date '{AS_OF}' - cast(max(ordered_at) as date) as recency_days,
                count(distinct order_id) as frequency,
                sum(line_amount) as monetary
            from ({SALES}) group by 1
        )
        select unnest([
            min(recency_days), median(recency_days), round(avg(recency_days), 4),
            max(recency_days), min(frequency), median(frequency), round(avg(frequency), 4),
            max(frequency), count(*) filter (where frequency = 1)
        ]) as told from customers
        """,
    )
    assert [row[0] for row in rows] == [1, 51, 93.0595, 374, 1, 2, 4.2720, 209, 1_493]
    money = ask(
        retailer,
        "select min(monetary), median(monetary), round(avg(monetary), 2), max(monetary) from "
        f"(select sum(line_amount) as monetary from ({SALES}) group by customer_id)",
    )
    assert money[0] == Decimal("3.75") and abs(money[1] - Decimal("674.485")) <= Decimal("0.005")
    assert (money[2], money[3]) == (2_054.27, Decimal("280206.02"))


def test_the_best_customers_are_the_published_ones(retailer: Home) -> None:
    rows = query(
        retailer.private_file,
        f"""
        select numbers.identifier_value, round(sum(line_amount), 2)
        from ({SALES}) as sales inner join ({NUMBERS}) as numbers using (customer_id)
        group by 1 order by 2 desc limit 3
        """,
    )
    assert rows == [
        ("14646", Decimal("280206.02")),
        ("18102", Decimal("259657.30")),
        ("17450", Decimal("194550.79")),
    ]


def test_who_cancels_all_is_worth_nothing(retailer: Home) -> None:
    rows = query(
        retailer.private_file,
        f"""
        select numbers.identifier_value, count(*), sum(net_amount), sum(reporting_amount)
        from profile.orders inner join ({NUMBERS}) as numbers using (customer_id)
        where numbers.identifier_value in ('12346', '16446') group by 1 order by 1
        """,
    )
    assert rows == [
        ("12346", 2, Decimal("0.0000"), Decimal("0.0000")),
        ("16446", 3, Decimal("2.9000"), Decimal("2.9000")),
    ]
    scored = query(
        retailer.private_file,
        f"""
        select numbers.identifier_value, monetary, m_score
        from metrics.customer_rfm inner join ({NUMBERS}) as numbers using (customer_id)
        where numbers.identifier_value in ('12346', '16446') order by 1
        """,
    )
    assert scored == [("12346", Decimal("0.0000"), 1), ("16446", Decimal("2.9000"), 1)]


def test_every_buyer_has_a_score_with_the_segment_of_its_cell(retailer: Home) -> None:
    with (PROJECT / "seeds/rfm_segments.csv").open(encoding="utf-8") as file:
        cells = {
            (int(row["r_score"]), int(row["f_score"])): row["rfm_segment"]
            for row in csv.DictReader(file)
        }
    rows = query(
        retailer.private_file,
        "select recency_days, frequency, r_score, f_score, m_score, rfm_score, rfm_segment "
        "from metrics.customer_rfm",
    )
    assert len(rows) == 4_338
    assert all(cells[r, f] == segment for _, _, r, f, _, _, segment in rows)
    assert all(score == f"{r}-{f}-{m}" for _, _, r, f, m, score, _ in rows)
    # Equal numbers have equal scores, and a better number never a lower one.
    for value, score, sign in ((0, 2, -1), (1, 3, 1)):
        pairs = sorted({(sign * row[value], row[score]) for row in rows})
        assert len(pairs) == len({number for number, _ in pairs})
        assert [each for _, each in pairs] == sorted(each for _, each in pairs)
        assert {each for _, each in pairs} >= {1, 5}


def test_tables_of_sources_that_the_company_lacks_exist_and_are_empty(retailer: Home) -> None:
    empty = ("profile.contact_permissions", "profile.customer_consents", "profile.carts",
             "identity.identity_edges", "activation.sync_email__welcome")  # fmt: skip
    for table in empty:
        assert ask(retailer, f"select count(*) from {table}") == (0,), table
    raw = query(
        retailer.warehouse,
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_schema like 'raw_%' and table_type = 'BASE TABLE'",
    )
    assert {"raw_web.events", "raw_shopify.customer", "raw_fx.rates"} <= {row[0] for row in raw}


def test_a_customer_of_invoices_alone_has_a_country_and_no_name_or_contact_point(
    retailer: Home,
) -> None:
    told = ask(
        retailer,
        "select count(*), count(country_code), count(coalesce(first_name, last_name, email, phone))"
        " from profile.customers",
    )
    assert told[0] > 4000 and told[1] > 0.98 * told[0] and told[2] == 0, told
    sources = "select distinct address_source from profile.customers where country_code is not null"
    assert ask(retailer, sources) == ("erp",)
    assert ask(retailer, "select count(*) from profile.contact_points") == (0,)


def test_nothing_is_sent_without_a_contact_point(retailer: Home) -> None:
    assert not list(retailer.outbox.rglob("*.csv"))
    assert not [path for path in (retailer.outbox / "maildir").rglob("*") if path.is_file()]
    with duckdb.connect() as connection:
        connection.execute(f"attach '{retailer.ops_file}' as exported (read_only)")
        rows = connection.execute(
            "select sum(n_acked), sum(n_withheld) > 0 from exported.ops.sync_runs"
        ).fetchall()
    assert rows == [(0, True)]


def test_every_audience_is_in_the_report_also_without_members(retailer: Home) -> None:
    with (PROJECT / "seeds/audiences.csv").open(encoding="utf-8") as file:
        audiences = {row["audience"] for row in csv.DictReader(file)}
    rows = query(
        retailer.private_file, "select audience, member_count from reporting.audience_sizes"
    )
    assert {audience for audience, _ in rows} == audiences
    assert dict(rows)["welcome_opt_in"] == 0 < dict(rows)["first_order"]


CURRENT_STATE = (
    "profile.orders",
    "profile.order_lines",
    "profile.products",
    "profile.customers",
    "metrics.customer_rfm",
)


def by_number(home: Home, table: str) -> list[tuple[Any, ...]]:
    """A table's rows with the customer's number in the ledger in place of the customer_id."""
    has_customer = "customer_id" in {row[0] for row in query(home.warehouse, f"describe {table}")}
    statement = f"select * from {table} order by all"
    if has_customer:
        statement = (
            f"select numbers.identifier_value, told.* exclude (customer_id) from {table} as told "
            f"left join ({NUMBERS}) as numbers using (customer_id) order by all"
        )
    return query(home.warehouse, statement)


def test_files_in_ten_random_batches_end_in_the_same_tables_as_all_at_once(
    invoices: list[Path], dbt: Dbt, tmp_path: Path
) -> None:
    select = ("+customer_rfm", "+order_lines", "+products", "+customers")
    files = invoices[:60]
    once, batches = make_home(tmp_path / "once"), make_home(tmp_path / "batches")
    land(once, files)
    dbt.build(once, select, as_of=AS_OF)
    shuffled = random.Random(2011).sample(files, len(files))
    for batch in range(10):
        land(batches, shuffled[batch::10])
        dbt.build(batches, select, *(AGAIN if batch else ()), as_of=AS_OF)
    for table in CURRENT_STATE:
        expected = by_number(once, table)
        assert len(expected) > 500, table
        assert by_number(batches, table) == expected, table
