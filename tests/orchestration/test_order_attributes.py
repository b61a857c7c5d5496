"""Order attributes of every customer of the sample, told again in plain Python from the profile."""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb
import pytest
from support import AS_OF, PROJECT

from orchestration.home import Home

Row = Mapping[str, Any]
END = datetime.combine(AS_OF + timedelta(days=1), datetime.min.time())
# What a calendar says of windows that end with 1 November 2026; nothing is counted here.
WINDOWS = {
    "l30d": (datetime(2026, 10, 3), END),
    "l3m": (datetime(2026, 8, 2), END),
    "l6m": (datetime(2026, 5, 2), END),
    "l12m": (datetime(2025, 11, 2), END),
    "ly12m": (datetime(2024, 11, 2), datetime(2025, 11, 2)),
    "lifetime": (datetime.min, END),
}
CENT_OF_CENT = Decimal("0.0001")


def rows_of(home: Home, table: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(home.private_file), read_only=True) as connection:
        answer = connection.execute(f"select * from {table}")
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def most_often(orders: Iterable[Row], of: Callable[[Row], Iterable[Any]]) -> Any:
    """In most orders; of equals the one chosen last, then the first in the alphabet."""
    counts: Counter[str] = Counter()
    latest: dict[str, datetime] = {}
    for order in orders:
        for value in {str(value) for value in of(order) if value is not None}:
            counts[value] += 1
            latest[value] = max(latest.get(value, datetime.min), order["second"])
    ranked = sorted(counts, key=lambda value: (-counts[value], END - latest[value], value))
    return ranked[0] if ranked else None


def like(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace("%", ".*").replace("_", "."), re.DOTALL)


def divided(amount: Decimal, count: int) -> Decimal | None:
    return (amount / count).quantize(CENT_OF_CENT, ROUND_HALF_UP) if count else None


def days(earlier: datetime, later: datetime | date) -> int:
    return ((later.date() if isinstance(later, datetime) else later) - earlier.date()).days


def lifecycle(first: int, latest: int) -> str:
    if latest >= 730:
        return "dormant"
    if latest >= 365:
        return "lapsed"
    return "new" if first < 30 else "active"


class Expected:
    """The attributes as the words of their descriptions say."""

    def __init__(self, home: Home) -> None:
        brands = {row["product_id"]: row["brand"] for row in rows_of(home, "profile.products")}
        lines = defaultdict(list)
        for line in rows_of(home, "profile.order_lines"):
            if line["line_type"] == "product" and line["quantity"] > 0:
                kept = max(line["quantity"] - (line["refunded_quantity"] or 0), 0)
                lines[line["order_id"]].append((line["product_id"], kept))
        self.orders: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for order in rows_of(home, "profile.orders"):
            if order["customer_id"] and order["is_revenue"] and order["ordered_at"] < END:
                kept_lines = [(product, kept) for product, kept in lines[order["order_id"]] if kept]
                order["items"] = sum(kept for _, kept in kept_lines)
                order["largest"] = max([kept for _, kept in kept_lines], default=0)
                order["products"] = [product for product, _ in kept_lines]
                order["brands"] = [brands.get(product) for product in order["products"]]
                order["second"] = order["ordered_at"].replace(microsecond=0)
                self.orders[order["customer_id"]].append(order)
        for orders in self.orders.values():
            orders.sort(key=lambda order: (order["ordered_at"], order["order_id"]))
        self.carts = defaultdict(list)
        for cart in rows_of(home, "profile.carts"):
            self.carts[cart["customer_id"]].append(cart)
        self.channels = defaultdict(set)
        for point in rows_of(home, "profile.contact_permissions"):
            if point["is_permitted"] and point["purpose"] == "marketing":
                self.channels[point["customer_id"]].add(point["channel"])
        self.known_by = defaultdict(set)
        for known in rows_of(home, "profile.customer_identifiers"):
            if known["identifier_type"] == "email":
                self.known_by[known["customer_id"]].add(("email", known["identifier_value"]))
        for customer in rows_of(home, "profile.customers"):
            names = (customer["first_name"], customer["last_name"])
            name = " ".join(part for part in names if part)
            self.known_by[customer["customer_id"]].add(("name", name))
        with (PROJECT / "seeds/account_rules.csv").open(encoding="utf-8") as file:
            self.rules = [
                (row["flag"], row["field"], like(row["pattern"])) for row in csv.DictReader(file)
            ]
        spent = sorted(self.spent(orders) for orders in self.orders.values())
        self.median = spent[(len(spent) - 1) // 2]

    @staticmethod
    def spent(orders: Iterable[Row]) -> Decimal:
        return sum((order["reporting_amount"] or Decimal(0) for order in orders), Decimal(0))

    def of(self, customer: str) -> dict[str, Any]:
        orders = self.orders[customer]
        first, latest = orders[0], orders[-1]
        second = orders[1] if len(orders) > 1 else None
        told: dict[str, Any] = {"customer_id": customer}
        for place, order in (("first", first), ("second", second), ("latest", latest)):
            told |= {
                f"{place}_order_datetime": order and order["ordered_at"],
                f"{place}_order_id": order and order["order_id"],
                f"{place}_order_revenue": order and order["reporting_amount"],
                f"{place}_order_total_items": order and order["items"],
            }
        to_second = days(first["ordered_at"], second["ordered_at"]) if second else None
        told |= {
            "days_since_latest_order": days(latest["ordered_at"], AS_OF),
            "first_to_second_order_days": to_second,
            "first_to_latest_order_days": days(first["ordered_at"], latest["ordered_at"]),
            "early_repeat_purchaser": to_second is not None and to_second <= 84,
            "first_order_is_retained": to_second is not None and to_second <= 365,
            "lifecycle_status": lifecycle(
                days(first["ordered_at"], AS_OF), days(latest["ordered_at"], AS_OF)
            ),
        }
        for name, (begin, end) in WINDOWS.items():
            chosen = [order for order in orders if begin <= order["ordered_at"] < end]
            revenue, items = self.spent(chosen), sum(order["items"] for order in chosen)
            told |= {
                f"{name}_order_frequency": len(chosen),
                f"{name}_order_revenue": revenue,
                f"{name}_average_order_value": divided(revenue, len(chosen)),
                f"{name}_total_items": items,
                f"{name}_average_item_price": divided(revenue, items),
                f"{name}_preferred_purchase_brand": most_often(chosen, lambda o: o["brands"]),
                f"{name}_preferred_purchase_channel": most_often(chosen, lambda o: [o["channel"]]),
                f"{name}_preferred_purchase_store": most_often(chosen, lambda o: [o["store_id"]]),
            }
        told |= {
            "usual_product_id": most_often(orders, lambda o: o["products"]),
            "usual_store_id": most_often(orders, lambda o: [o["store_id"]]),
            "usual_weekday": int(most_often(orders, lambda o: [o["ordered_at"].isoweekday()])),
            "usual_hour": int(most_often(orders, lambda o: [o["ordered_at"].hour])),
        }
        return told | self._flags(customer) | self._basket(customer) | self._reach(customer)

    def _flags(self, customer: str) -> dict[str, Any]:
        orders = self.orders[customer]
        fitting = {
            flag
            for flag, field, pattern in self.rules
            for known_field, value in self.known_by[customer]
            if field == known_field and pattern.fullmatch(value.lower())
        }
        gifts = {order["is_gift"] for order in orders} - {None}
        return {
            "is_employee": "employee" in fitting,
            "is_reseller": "reseller" in fitting or max(o["largest"] for o in orders) >= 100,
            "is_test_account": "test_account" in fitting,
            "is_outlier": self.median > 0 and self.spent(orders) > 50 * self.median,
            "is_gift_giver": any(gifts) if gifts else None,
        }

    def _basket(self, customer: str) -> dict[str, Any]:
        since = self.orders[customer][-1]["ordered_at"]
        baskets = [
            cart
            for cart in self.carts[customer]
            if since < cart["started_at"] < END
            and (cart["completed_at"] is None or cart["completed_at"] >= END)
        ]
        baskets.sort(key=lambda cart: (END - cart["started_at"], cart["cart_id"]))
        latest = baskets[0] if baskets else None
        return {
            "latest_open_basket_datetime": latest and latest["started_at"],
            "latest_open_basket_value": latest and latest["reporting_amount"],
        }

    def _reach(self, customer: str) -> dict[str, bool]:
        with (PROJECT / "seeds/consent_purposes.csv").open(encoding="utf-8") as file:
            channels = {
                row["channel"] for row in csv.DictReader(file) if row["purpose"] == "marketing"
            }
        return {
            "is_reachable": bool(self.channels[customer]),
            **{f"is_reachable_by_{name}": name in self.channels[customer] for name in channels},
        }


@pytest.fixture(scope="module")
def built(sample_home: Home) -> dict[str, dict[str, Any]]:
    rows = rows_of(sample_home, "metrics.customer_order_attributes")
    return {row["customer_id"]: row for row in rows}


@pytest.fixture(scope="module")
def expected(sample_home: Home) -> Expected:
    return Expected(sample_home)


def test_every_attribute_of_every_customer_is_what_plain_python_says(
    built: dict[str, dict[str, Any]], expected: Expected
) -> None:
    assert built.keys() == expected.orders.keys()
    assert len(built) > 300
    differing: dict[str, tuple[str, Any, Any]] = {}
    for customer, row in built.items():
        told = expected.of(customer)
        assert told.keys() == row.keys()
        for name, value in told.items():
            if row[name] != value:
                differing[name] = (customer, row[name], value)
    assert differing == {}


def test_the_sample_has_customers_whom_each_rule_tells_apart(
    built: dict[str, dict[str, Any]],
) -> None:
    """Equal answers prove little where nobody is on the other side of a rule."""
    told = ("early_repeat_purchaser", "first_order_is_retained", "is_gift_giver", "is_reachable")
    for name in (*told, "is_reachable_by_email", "is_reachable_by_sms"):
        assert {row[name] for row in built.values()} >= {True, False}, name
    known = ("second_order_id", "ly12m_preferred_purchase_brand", "l30d_preferred_purchase_store")
    for name in (*known, "usual_product_id", "latest_open_basket_value"):
        assert 3 < sum(row[name] is not None for row in built.values()) < len(built), name
    statuses = Counter(row["lifecycle_status"] for row in built.values())
    assert statuses.keys() >= {"new", "active", "lapsed"}


def test_each_customer_is_in_one_status_and_who_never_ordered_is_a_prospect(
    sample_home: Home, built: dict[str, dict[str, Any]]
) -> None:
    metrics = rows_of(sample_home, "metrics.customer_metrics")
    statuses = {row["customer_id"]: row["lifecycle_status"] for row in metrics}
    assert len(statuses) == len(metrics)
    for customer, status in statuses.items():
        row = built.get(customer)
        assert status == (row["lifecycle_status"] if row else "prospect")
    for row in metrics:
        attributes = built.get(row["customer_id"])
        if attributes:
            assert row["order_count"] == attributes["lifetime_order_frequency"]
            assert row["item_count"] == attributes["lifetime_total_items"]
            assert row["latest_order_id"] == attributes["latest_order_id"]
