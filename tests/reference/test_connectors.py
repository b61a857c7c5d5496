"""Tables as connectors deliver them: the test seeds of Fivetran's dbt packages, as they are."""

import csv
import shutil
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from reference_files import reference_folder
from support import PROJECT, Dbt, land_waiting, make_home, put, query

from orchestration.home import Home
from orchestration.landing import load_declarations
from orchestration.landing.declarations import Column, Table

pytestmark = pytest.mark.reference

# How the packages name a table's file; of Shopify the older form (REST) and the newer (GraphQL),
# of Klaviyo's events the two spellings of property columns.
NAMES = {
    "shopify": ("shopify_{}_data.csv", "shopify_gql_{}_data.csv"),
    "hubspot": ("{}_data.csv",),
    "klaviyo": ("{}.csv", "{}_norename.csv"),
}
# Declared tables of which the packages have no file, and why; today none.
WITHOUT_A_FILE: dict[str, str] = {}
# Rows that a person, too, would send back, as (table, file, row), and why; today none.
BAD_ROWS: set[tuple[str, str, int]] = set()
SELECTED = (
    "+customers",
    "+interactions",
    "+orders",
    "+order_lines",
    "path:models/staging/shopify",
    "path:models/staging/hubspot",
    "path:models/staging/klaviyo",
)
# Each of the packages' tables was made for itself: lines name no order that is there, events no
# profile. What they name is added by hand, in files of its own.
LINE, ITS_ORDER = "10002", "5002"
PROFILE, CONTACT, DEAL_CONTACT, DEAL = "MCX88q", "501", "1499466", "86133127"
MADE_AT = "2014-01-01 09:00:00"
ADDED: dict[str, list[dict[str, str]]] = {
    "shopify/order": [
        {
            "id": ITS_ORDER,
            "customer_id": "1002",
            "currency_code": "USD",
            "total_price_set_shop_amount": "24.99",
            "subtotal_price_set_shop_amount": "24.99",
            "created_at": "2025-07-16 08:00:00",
        }
    ],
    "klaviyo/person": [{"id": PROFILE, "email": "one@post.example", "created": MADE_AT}],
    "hubspot/contact": [
        {"id": CONTACT, "property_email": "two@post.example", "property_createdate": MADE_AT},
        {
            "id": DEAL_CONTACT,
            "property_email": "three@post.example",
            "property_createdate": MADE_AT,
        },
    ],
    "hubspot/deal": [{"deal_id": DEAL, "property_createdate": "2022-04-13 09:00:00"}],
}


@dataclass(frozen=True)
class Export:
    """One file of a connector's table."""

    table: Table
    path: Path

    @property
    def landed_as(self) -> str:
        return f"{self.table.name}/{self.path.name}"

    @property
    def rows(self) -> list[dict[str, str]]:
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def key(self, row: dict[str, str]) -> tuple[str | None, ...]:
        return tuple(value_of(row, self.table.column(name)) for name in self.table.key)


def value_of(row: dict[str, str], column: Column) -> str | None:
    """What a row says in a declared column, under whichever of its names."""
    told = (row[name].strip() for name in (column.name, *column.also) if name in row)
    return next(told, None) or None


@dataclass(frozen=True)
class Company:
    """A home in which every export of the three connectors landed and was built."""

    home: Home
    exports: list[Export]

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return query(self.home.warehouse, statement)

    def customers(self, identifier_type: str) -> dict[str, str]:
        """The one current customer of each identifier of a type."""
        rows = self.ask(
            "select identifier_value, customer_id from identity.identity_map "
            f"where is_current and identifier_type = '{identifier_type}'"
        )
        assert len(rows) == len(dict(rows))
        return dict(rows)

    def of(self, label: str) -> list[tuple[Export, dict[str, str]]]:
        """All rows of a table's exports."""
        return [
            (export, row)
            for export in self.exports
            if export.table.label == label
            for row in export.rows
        ]


@pytest.fixture(scope="module")
def exports() -> list[Export]:
    """Every file that the packages have of a declared table."""
    folder = reference_folder("connectors/fivetran")
    return [
        Export(table, path)
        for source, forms in NAMES.items()
        for table in load_declarations(PROJECT)[source].tables.values()
        for path in (folder / source / form.format(table.name) for form in forms)
        if path.exists()
    ]


@pytest.fixture(scope="module")
def company(exports: list[Export], dbt: Dbt, tmp_path_factory: pytest.TempPathFactory) -> Company:
    home = make_home(tmp_path_factory.mktemp("company"))
    for export in exports:
        folder = home.landing / export.table.source / export.table.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(export.path, folder)
    for place, rows in ADDED.items():
        put(home, place, "added.csv", rows)
    land_waiting(home)
    dbt.build(home, SELECTED)
    return Company(home, exports)


@pytest.fixture(scope="module")
def staged_names(manifest: dict[str, Any]) -> dict[str, str]:
    """The staged table of each declared one: its newest rows."""
    return {
        f"{source['source_name']}.{source['name']}": node["name"]
        for node in manifest["nodes"].values()
        if node["name"].startswith("stg_") and not node["name"].endswith("_versions")
        for unique_id in node["depends_on"]["nodes"]
        if (source := manifest["sources"].get(unique_id)) and source["source_name"] != "landing"
    }


def test_every_declared_table_has_landed(company: Company) -> None:
    declared = {
        table.label
        for source in NAMES
        for table in load_declarations(PROJECT)[source].tables.values()
    }
    exported = {export.table.label for export in company.exports}
    assert declared - exported == set(WITHOUT_A_FILE)
    loads = company.ask(
        "select source, file from raw_landing.loads where file not like '%/added.csv'"
    )
    assert sorted(loads) == sorted(
        (export.table.source, export.landed_as) for export in company.exports
    )
    assert Counter(source for source, _ in loads) == {"shopify": 19, "hubspot": 10, "klaviyo": 5}


def test_no_good_row_is_rejected(company: Company) -> None:
    tables = {export.table.label: export.table for export in company.exports}.values()
    rejected = {
        (table.label, file, row): message
        for table in tables
        for file, row, message in company.ask(
            f'select _file, _row, message from {table.schema}."{table.name}__rejected"'
        )
    }
    assert not {place: rejected[place] for place in rejected.keys() - BAD_ROWS}
    assert rejected.keys() == BAD_ROWS


def test_every_row_is_loaded_repeated_or_rejected(company: Company) -> None:
    loads = {
        (source, file): counts
        for source, file, *counts in company.ask(
            "select source, file, landed_count, loaded_count, duplicate_count, rejected_count "
            "from raw_landing.loads"
        )
    }
    repeated = {}
    for export in company.exports:
        landed, loaded, duplicate, rejected = loads[export.table.source, export.landed_as]
        assert landed == len(export.rows) == loaded + duplicate + rejected, export.landed_as
        if duplicate:
            repeated[export.landed_as] = duplicate
    # Both spellings tell the same four events; one of them lost its subject in the second.
    assert repeated == {"event/event_norename.csv": 3}


def test_the_newest_row_of_every_key_is_staged(
    company: Company, staged_names: dict[str, str]
) -> None:
    keys: dict[str, set[tuple[str | None, ...]]] = {}
    for export in company.exports:
        keys.setdefault(export.table.label, set()).update(map(export.key, export.rows))
    for label, expected in keys.items():
        added = ADDED.get(label.replace(".", "/"), [])
        staged = company.ask(f"select count(*) from staging.{staged_names[label]}")
        assert staged == [(len(expected) + len(added),)], label


def test_every_amount_of_both_forms_is_staged_in_the_same_column(
    company: Company, manifest: dict[str, Any], staged_names: dict[str, str]
) -> None:
    declared = {
        f"{node['source_name']}.{node['name']}": node["columns"]
        for node in manifest["sources"].values()
    }
    told_of: Counter[tuple[str, str]] = Counter()
    for export in company.exports:
        amounts = [
            column for column in export.table.columns if column.data_type.startswith("decimal")
        ]
        if not amounts:
            continue
        label = export.table.label
        columns = declared[label]
        names = [
            columns[column.name]["config"]["meta"].get("as", column.name) for column in amounts
        ]
        staged = {
            key: values
            for key, *values in company.ask(
                f"select record_key, {', '.join(names)} from staging.{staged_names[label]}"
            )
        }
        for row in export.rows:
            key = "|".join(str(part) for part in export.key(row))
            told = [value_of(row, column) for column in amounts]
            assert staged[key] == [value and Decimal(value) for value in told], (label, key)
            told_of.update(
                (export.path.name, column.name)
                for column, value in zip(amounts, told, strict=True)
                if value
            )
    older, newer = "shopify_order_data.csv", "shopify_gql_order_data.csv"
    for name in ("subtotal_price", "total_discounts", "total_tax", "total_price"):
        assert (told_of[older, name], told_of[newer, name]) == (8, 9), name


def test_an_order_of_either_form_has_its_money(company: Company) -> None:
    assert company.ask(
        "select shopify_order_id, currency, subtotal_amount, discount_amount, tax_amount, "
        "order_amount, shipping_amount, financial_status from staging.stg_shopify__orders "
        "where shopify_order_id in ('4001', '2669516488801') order by 1"
    ) == [
        ("2669516488801", "GBP", Decimal("2.8"), 0, 0, Decimal("3.79"), None, "paid"),
        ("4001", "USD", Decimal("49.99"), 5, 3, 55, 2, "paid"),
    ]
    assert company.ask(
        "select order_id, order_amount, tax_amount, shipping_amount, net_amount "
        "from profile.orders where order_id in ('shopify:4001', 'shopify:2669516488801') order by 1"
    ) == [
        ("shopify:2669516488801", Decimal("3.79"), 0, Decimal("0.99"), Decimal("3.79")),
        ("shopify:4001", 55, 3, 2, 55),
    ]


def test_deleted_orders_and_the_shops_own_tests_are_no_orders(company: Company) -> None:
    good = {
        f"shopify:{row['id']}"
        for _, row in company.of("shopify.order")
        if row["test"] == "FALSE" and row.get("_fivetran_deleted") != "TRUE"
    }
    assert len(good) == 12
    orders = {row[0] for row in company.ask("select order_id from profile.orders")}
    assert orders == good | {f"shopify:{ITS_ORDER}"}


def test_a_line_of_either_form_has_its_price(company: Company) -> None:
    """The newer form tells the line's total before its discount: 29.99 for two."""
    assert company.ask(
        "select order_line_id, order_id, quantity, unit_price, line_amount "
        "from profile.order_lines "
        f"where order_line_id in ('shopify:{LINE}', 'shopify:5708321914977') order by 1"
    ) == [
        (
            f"shopify:{LINE}",
            f"shopify:{ITS_ORDER}",
            2,
            Decimal("14.995"),
            Decimal("24.99"),
        ),
        ("shopify:5708321914977", "shopify:2674098602081", 2, Decimal("2.8"), Decimal("5.6")),
    ]
    # Its refund, too, is of the newer form: one sum instead of lines.
    assert company.ask(
        "select refunded_amount, net_amount, channel from profile.orders "
        f"where order_id = 'shopify:{ITS_ORDER}'"
    ) == [(5, Decimal("19.99"), "web")]


def test_every_account_profile_and_contact_is_a_customers(company: Company) -> None:
    for label, identifier_type in (
        ("shopify.customer", "shopify_customer_id"),
        ("shopify.order", "shopify_customer_id"),
        ("klaviyo.person", "klaviyo_person_id"),
        ("hubspot.contact", "hubspot_contact_id"),
    ):
        column = "customer_id" if label == "shopify.order" else "id"
        ids = {row[column] for _, row in company.of(label)}
        assert ids and ids <= company.customers(identifier_type).keys(), label


# Where a golden record's source stands: its staged table, its key there, and the file's columns.
TRACES: dict[str, tuple[str, str, dict[str, tuple[str, ...]]]] = {
    "shopify": (
        "stg_shopify__customers",
        "record_key",
        {"first_name": ("first_name",), "last_name": ("last_name",), "email": ("email",)},
    ),
    "shopify_order": (
        "stg_shopify__orders",
        "record_key",
        {
            "first_name": ("billing_address_first_name",),
            "last_name": ("billing_address_last_name",),
            "email": ("email",),
            "city": ("billing_address_city",),
        },
    ),
    "shopify_address": (
        "stg_shopify__customer_addresses",
        "shopify_customer_id",
        {"address_line": ("address_1",), "city": ("city",)},
    ),
    "hubspot": (
        "stg_hubspot__contacts",
        "record_key",
        {
            "first_name": ("property_firstname",),
            "last_name": ("property_lastname",),
            "email": ("property_email",),
        },
    ),
    "klaviyo": (
        "stg_klaviyo__persons",
        "record_key",
        {
            "first_name": ("first_name",),
            "last_name": ("last_name",),
            "email": ("email",),
            "city": ("city",),
        },
    ),
}


def test_every_golden_field_is_in_the_row_that_it_names(company: Company) -> None:
    files = {export.landed_as: export.rows for export in company.exports}
    traced: Counter[tuple[str, str]] = Counter()
    for group, fields in (
        ("name", ("first_name", "last_name")),
        ("email", ("email",)),
        ("address", ("address_line", "city")),
    ):
        for record_source, key, *values in company.ask(
            f"select {group}_source, {group}_record_key, {', '.join(fields)} "
            f"from profile.customers where {group}_source is not null"
        ):
            table, key_column, columns = TRACES[record_source]
            rows = company.ask(
                f"select landed_file, landed_row from staging.{table} where {key_column} = '{key}'"
            )
            told = [
                files[file][row - 1] for file, row in rows if file in files
            ]  # what was added by hand is in no export
            for field, value in zip(fields, values, strict=True):
                if value is None or field not in columns or not told:
                    continue
                said = {row.get(name, "").strip() for row in told for name in columns[field]}
                assert value.casefold() in {each.casefold() for each in said}, (group, key)
                traced[record_source, field] += 1
    assert {source for source, _ in traced} >= {"shopify", "hubspot", "klaviyo"}, traced


def test_a_received_email_is_one_that_was_sent_to_the_person(company: Company) -> None:
    events = {row["id"]: row for _, row in company.of("klaviyo.event")}
    received = {key for key, row in events.items() if row["type"] == "Received Email"}
    rows = company.ask(
        "select interaction_id, activity, channel, customer_id from profile.interactions "
        "where source = 'klaviyo'"
    )
    told = {name.removeprefix("klaviyo.event:"): rest for name, *rest in rows}
    assert told.keys() == events.keys()
    assert {key for key, (activity, _, _) in told.items() if activity == "email_sent"} == received
    customers = company.customers("klaviyo_person_id")
    theirs = {key for key, row in events.items() if row["person_id"] == PROFILE}
    assert len(received) == 3 and len(theirs) == 2
    # The other profile is not among the exports, and nobody's until it lands.
    assert {key: customer for key, (_, _, customer) in told.items()} == {
        key: customers[PROFILE] if key in theirs else None for key in events
    }


def test_contacts_that_an_agent_merged_are_one_customer(company: Company) -> None:
    customers = company.customers("hubspot_contact_id")
    merged = [row for _, row in company.of("hubspot.contact_merge_audit")]
    ends = [(customers[row["canonical_vid"]], customers[row["vid_to_merge"]]) for row in merged]
    assert all(stayed == gone for stayed, gone in ends)
    assert len({stayed for stayed, _ in ends}) == len(merged) == 4


def test_what_an_agent_noted_and_a_deal_are_touches_of_the_contact(company: Company) -> None:
    customers = company.customers("hubspot_contact_id")
    told = company.ask(
        "select activity, channel, customer_id from profile.interactions "
        "where source = 'hubspot' order by 1"
    )
    assert ("call_noted", "phone", customers[CONTACT]) in told
    assert ("deal_opened", "crm", customers[DEAL_CONTACT]) in told
