"""The sample company keeps its promises, measured from its files and its truth alone."""

import csv
import hashlib
import json
import re
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
import yaml

from orchestration.demo.company import CompanySummary, make_company
from orchestration.demo.company_settings import FLOORS, SETTINGS_FILE, read_settings
from orchestration.demo.delivery import period_start
from orchestration.errors import CdpError

PROJECT = Path(__file__).resolve().parents[2]
PEOPLE = 1_500
JUNK = {"test@test.com", "n/a", "unknown", "none", "noemail@noemail.com"}
JUNK_PHONES = {"0000000000", "1234567890", "n/a", "unknown", "00000000"}
# The row's own time, and the key and version that a repeated delivery repeats.
EVENT_TIMES = {
    "web.events": "timestamp",
    "shopify.customer": "updated_at",
    "shopify.order": "updated_at",
    "shopify.abandoned_checkout": "updated_at",
    "erp.invoice_lines": "InvoiceDate",
    "consent.consent_events": "captured_at",
}
KEYS = {
    "web.events": ("messageId",),
    "shopify.customer": ("id", "updated_at"),
    "shopify.order": ("id", "updated_at"),
    "shopify.order_line": ("id",),
    "shopify.tender_transaction": ("id",),
    "consent.consent_events": ("consent_event_id",),
}

Rows = list[dict[str, Any]]


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file))


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Company:
    """One generated company with its files read once."""

    def __init__(self, root: Path, summary: CompanySummary) -> None:
        self.root = root
        self.summary = summary
        self.files: dict[str, dict[str, Rows]] = defaultdict(dict)
        for path in sorted((root / "landing").rglob("*")):
            if path.is_file():
                self.files[f"{path.parts[-3]}.{path.parts[-2]}"][path.name] = _read(path)
        self.people = _read(root / "truth" / "people.csv")
        self.records = _read(root / "truth" / "records.csv")
        self.identifiers = _read(root / "truth" / "identifiers.csv")

    def rows(self, table: str) -> Rows:
        """All rows but those of the file that was sent twice."""
        return [
            row for name, rows in self.files[table].items() if "_copy_" not in name for row in rows
        ]

    def users(self, identifier_type: str) -> dict[str, set[str]]:
        """The people who use each value of an identifier."""
        found: dict[str, set[str]] = defaultdict(set)
        for row in self.identifiers:
            if row["identifier_type"] == identifier_type:
                found[row["identifier_value"]].add(row["person_id"])
        return found

    def record_people(self, source: str, table: str) -> dict[str, str]:
        return {
            row["record_key"]: row["person_id"]
            for row in self.records
            if (row["source"], row["table"]) == (source, table)
        }


def _e164(text: str | None, country: str | None) -> str | None:
    """A typed phone in the international form, if it is a valid number of the country."""
    if text in JUNK_PHONES:
        return None
    try:
        # 00 is how people write + everywhere, also where the country dials otherwise (Taiwan).
        number = phonenumbers.parse(re.sub("^00", "+", text or ""), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=None)
    except ValueError:
        return None


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    root = tmp_path_factory.mktemp("company")
    return Company(root, make_company(root / "landing", root / "truth", PEOPLE, seed=11))


@pytest.fixture(scope="module")
def sources() -> dict[str, dict[str, dict[str, Any]]]:
    """The declared columns of each table, as the platform reads them."""
    declared = {}
    for path in (PROJECT / "models" / "staging").glob("*/_*__sources.yml"):
        for source in yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]:
            if source["config"]["meta"].get("mode") != "files":
                continue
            for table in source["tables"]:
                declared[f"{source['name']}.{table['name']}"] = {
                    column["name"]: column.get("config", {}).get("meta", {})
                    for column in table.get("columns", [])
                }
    return declared


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        make_company(tmp_path / name / "landing", tmp_path / name / "truth", 1_000, seed)
    one, two, three = (_digests(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert set(one.values()).isdisjoint(three.values())


def test_truth_below_landing_is_refused(tmp_path: Path) -> None:
    for truth in (tmp_path / "landing", tmp_path / "landing" / "truth"):
        with pytest.raises(CdpError, match="truth"):
            make_company(tmp_path / "landing", truth, 300)
    assert not (tmp_path / "landing").exists()


def test_landing_tells_no_person_and_leaves_no_half_file(company: Company) -> None:
    landing = company.root / "landing"
    files = [path for path in landing.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name.startswith(".")]
    assert len(files) == company.summary.files <= 250
    assert not [path for path in files if re.search(rb"\bP\d{7}\b", path.read_bytes())]
    assert len(company.people) == company.summary.people == PEOPLE


def test_summary_counts_the_rows_of_the_files(company: Company) -> None:
    counted = {
        table: sum(len(rows) for rows in files.values()) for table, files in company.files.items()
    }
    assert company.summary.rows == counted


def test_settings_may_not_go_below_the_floors(tmp_path: Path) -> None:
    read_settings()
    for section, floors in FLOORS.items():
        for name, floor in floors.items():
            settings = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))
            settings[section][name] = floor * 0.9
            path = tmp_path / "company.yml"
            path.write_text(yaml.safe_dump(settings), encoding="utf-8")
            with pytest.raises(CdpError, match=name):
                read_settings(path)


def test_unknown_setting_is_refused(tmp_path: Path) -> None:
    settings = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))
    settings["web"]["surprise"] = 1
    path = tmp_path / "company.yml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with pytest.raises(CdpError, match="surprise"):
        read_settings(path)


def test_files_follow_the_declarations(
    company: Company, sources: dict[str, dict[str, dict[str, Any]]]
) -> None:
    assert set(company.files) == set(sources)
    for table, files in company.files.items():
        required = {name for name, meta in sources[table].items() if meta.get("required")}
        for name, rows in files.items():
            assert rows, (table, name)
            for row in rows if name.endswith(".jsonl") else rows[:1]:
                assert set(row) <= set(sources[table]), (table, name)
                assert required <= set(row), (table, name)
        for column, meta in sources[table].items():
            values = [row.get(column) for row in company.rows(table)]
            wrong = sum(1 for v in values if v and v not in meta.get("accepted", [v]))
            missing = sum(1 for v in values if meta.get("required") and not v)
            assert wrong <= max(2, len(values) * 0.002), (table, column)
            assert missing == 0, (table, column)


def test_few_rows_are_malformed(company: Company) -> None:
    words = re.compile(r"^[A-Za-z ]+$")
    bad = [row for row in company.rows("web.events") if words.match(row["timestamp"])]
    total = len(company.rows("web.events"))
    assert 1 <= len(bad) <= total * 0.002
    known = company.record_people("web", "events")
    assert not [row for row in bad if row["messageId"] in known]


def test_the_four_scripts_are_there(company: Company) -> None:
    names = " ".join(row["first_name"] + row["last_name"] for row in company.rows("shopify.order")
                     if "first_name" in row) + " ".join(
        row["billing_address_last_name"] + row["billing_address_first_name"]
        for row in company.rows("shopify.order")
    )  # fmt: skip
    assert re.search("[ễầạơươđ]", names)  # Vietnamese
    assert re.search("[\u4e00-\u9fff]", names)  # Chinese
    assert re.search("[\u06cc\u06a9]", names)  # Persian yeh and keheh
    assert re.search("[\u064a\u0643]", names)  # their Arabic look-alikes
    assert "Smith" in names
    phones = " ".join(row["billing_address_phone"] for row in company.rows("shopify.order"))
    assert re.search("[０-９]", phones)
    assert re.search("[۰-۹]", phones)
    assert "+44 (0)" in phones


def test_addresses_and_phones_belong_to_nobody(company: Company) -> None:
    reserved = re.compile(r"@(example\.(com|org|net)|[a-z0-9-]+\.example)$")
    for row in company.rows("shopify.order") + company.rows("shopify.customer"):
        assert row["email"] in JUNK or reserved.search(row["email"].lower()), row["email"]
    phones = list(company.users("phone"))
    assert len(phones) > PEOPLE / 2
    assert all(_e164(phone, None) == phone for phone in phones)


def test_an_identifier_has_several_people_only_with_a_trouble(company: Company) -> None:
    troubles = {row["person_id"]: set(row["troubles"].split(";")) for row in company.people}
    allowed = {
        "email": "office_mailbox",
        "phone": "family_phone",
        "anonymous_id": "shared_device",
        "device_id": "shared_device",
    }
    for kind in (*allowed, "shopify_customer_id", "erp_customer_no"):
        for people in company.users(kind).values():
            if len(people) > 1:
                assert all(allowed[kind] in troubles[person] for person in people)
    assert max(len(p) for p in company.users("phone").values()) <= 5


def test_every_identifier_of_the_truth_shows_in_the_files(company: Company) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for row in company.rows("web.events"):
        traits = row.get("traits", {})
        seen["shopify_customer_id"].add(row.get("userId", ""))
        seen["anonymous_id"].add(row["anonymousId"])
        seen["device_id"].add(row["context"].get("device", {}).get("id", ""))
        seen["email"].add(traits.get("email", "").strip().lower())
        if traits.get("phone"):
            country = traits.get("address", {}).get("country")
            seen["phone"].add(_e164(traits["phone"], country) or "")
    for row in company.rows("shopify.customer") + company.rows("shopify.order"):
        seen["email"].add(row["email"].strip().lower())
        if row.get("billing_address_phone"):
            country = row["billing_address_country_code"]
            seen["phone"].add(_e164(row["billing_address_phone"], country) or "")
    for row in company.rows("erp.invoice_lines"):
        seen["erp_customer_no"].add(row["CustomerID"].removesuffix(".0"))
    for kind in {row["identifier_type"] for row in company.identifiers}:
        values = set(company.users(kind))
        assert values <= seen[kind], (kind, sorted(values - seen[kind])[:5])
        strange = seen[kind] - values - {""} - JUNK
        assert not strange, (kind, sorted(strange)[:5])


def test_troubles_of_people_reach_their_floors_in_the_files(company: Company) -> None:
    """Measured from what the files show about the records whose people the truth knows."""
    events = company.record_people("web", "events")
    orders = company.record_people("shopify", "order")
    customers = company.record_people("shopify", "customer")
    shown: dict[str, set[str]] = {name: set() for name in FLOORS["people"]}

    users: dict[str, set[str]] = defaultdict(set)
    phones: dict[str, set[str]] = defaultdict(set)
    emails: dict[str, set[str]] = defaultdict(set)
    names = {row["id"]: (row["first_name"], row["last_name"])
             for row in company.rows("shopify.customer")}  # fmt: skip
    letters = str.maketrans({"ي": "ی", "ك": "ک"})
    for row in company.rows("web.events"):
        person, traits = events.get(row["messageId"]), row.get("traits")
        if person is None:
            continue
        if row.get("userId"):
            users[row["anonymousId"]].add(row["userId"])
        if not traits:
            continue
        emails[traits["email"].strip().lower()].add(person)
        phones[_e164(traits.get("phone"), traits["address"]["country"]) or ""].add(person)
        if traits["email"] in JUNK or traits.get("phone") in JUNK_PHONES:
            shown["junk_value"].add(person)
        if row.get("userId") and "firstName" in traits:
            typed = traits["firstName"].translate(letters).casefold()
            if typed != names[row["userId"]][0].translate(letters).casefold():
                shown["name_typo"].add(person)
    for row in company.rows("shopify.order"):
        person = orders.get(row["id"])
        if person is None:
            continue
        emails[row["email"].strip().lower()].add(person)
        country = row["billing_address_country_code"]
        phones[_e164(row["billing_address_phone"], country) or ""].add(person)
        if row["email"] in JUNK or row["billing_address_phone"] in JUNK_PHONES:
            shown["junk_value"].add(person)
    for accounts in users.values():
        if len(accounts) > 1:
            shown["shared_device"] |= {customers[account] for account in accounts}
    for phone, people in phones.items():
        if phone and len(people) > 1:
            shown["family_phone"] |= people
    addresses = Counter()
    for email, people in emails.items():
        if email in JUNK:
            continue
        if len(people) > 1:
            shown["office_mailbox"] |= people
        else:
            addresses.update(people)
    shown["two_emails"] = {person for person, count in addresses.items() if count > 1}

    for name, floor in FLOORS["people"].items():
        assert len(shown[name]) / PEOPLE >= floor, (name, len(shown[name]) / PEOPLE)
        told = {row["person_id"] for row in company.people if name in row["troubles"].split(";")}
        assert told >= shown[name] if name != "name_typo" else len(told & shown[name]) > 0
        assert len(told) / PEOPLE >= floor


@pytest.mark.parametrize("table", sorted(EVENT_TIMES))
def test_late_rows_reach_the_floor(company: Company, table: str) -> None:
    late = total = 0
    for name, rows in company.files[table].items():
        start = datetime.combine(period_start(name), datetime.min.time())
        for row in rows if "_copy_" not in name else ():
            when = _time(row[EVENT_TIMES[table]])
            total += 1
            late += when is not None and when < start
    # Lines of an invoice travel together, so their share may stray from the invoices'.
    floor = FLOORS["rows"]["late"] * (0.4 if table == "erp.invoice_lines" else 1.0)
    assert floor <= late / total <= 0.10


@pytest.mark.parametrize("table", sorted(KEYS))
def test_repeated_rows_reach_the_floor(company: Company, table: str) -> None:
    rows = company.rows(table)
    distinct = {tuple(row[column] for column in KEYS[table]) for row in rows}
    assert FLOORS["rows"]["duplicate"] <= 1 - len(distinct) / len(rows) <= 0.05


def test_whole_files_come_twice_and_out_of_order(company: Company) -> None:
    digests = Counter(_digests(company.root / "landing").values())
    assert sum(1 for count in digests.values() if count == 2) >= 3
    for table in ("web.events", "shopify.order"):
        in_reading_order = [period_start(name) for name in sorted(company.files[table])]
        assert in_reading_order != sorted(in_reading_order)


def test_orders_add_up_and_are_cancelled_refunded_and_given(company: Company) -> None:
    lines: dict[str, float] = defaultdict(float)
    seen = set()
    for row in company.rows("shopify.order_line"):
        if row["id"] not in seen and row["quantity"].isdigit() and row["price"][0].isdigit():
            seen.add(row["id"])
            lines[row["order_id"]] += float(row["price"]) * int(row["quantity"])
            lines[row["order_id"]] -= float(row["total_discount"])
    known = company.record_people("shopify", "order")
    statuses, gifts, guests = Counter(), 0, 0
    for row in company.rows("shopify.order"):
        if row["id"] not in known:
            continue
        assert float(row["subtotal_price"]) == pytest.approx(lines[row["id"]], abs=0.01)
        rest = float(row["total_price"]) - float(row["subtotal_price"]) - float(row["total_tax"])
        assert rest > -0.01
        statuses[row["financial_status"]] += 1
        gifts += row["shipping_address_last_name"].casefold() not in (
            row["billing_address_last_name"].casefold()
        )
        guests += not row["customer_id"]
    assert {"paid", "pending", "voided", "refunded", "partially_refunded"} == set(statuses)
    assert gifts and guests
    refunded = {row["order_id"] for row in company.rows("shopify.refund")}
    told = {row["id"] for row in company.rows("shopify.order")
            if row["financial_status"] in ("refunded", "partially_refunded")}  # fmt: skip
    assert told & set(known) <= refunded


def test_events_carts_and_orders_refer_to_the_shop(company: Company) -> None:
    orders = {row["id"] for row in company.rows("shopify.order")}
    products = {row["id"] for row in company.rows("shopify.product")}
    carts = set()
    for row in company.rows("web.events"):
        properties = row.get("properties", {})
        assert properties.get("product_id") is None or properties["product_id"] in products
        assert properties.get("order_id") is None or properties["order_id"] in orders
        carts.add(properties.get("cart_id"))
    assert {row["cart_token"] for row in company.rows("shopify.abandoned_checkout")} <= carts


def test_invoices_look_as_the_erp_writes_them(company: Company) -> None:
    rows = company.rows("erp.invoice_lines")
    assert all(re.fullmatch(r"9?[CA]?\d{6}", row["InvoiceNo"].replace("9C", "C")) or
               row["InvoiceNo"].startswith("9") for row in rows)  # fmt: skip
    assert all(re.fullmatch(r"\d{5}\.0|", row["CustomerID"]) for row in rows)
    assert any(row["InvoiceNo"].startswith("C") and int(row["Quantity"]) < 0 for row in rows)
    assert any(row["StockCode"] == "POST" for row in rows)
    assert any(not row["CustomerID"] for row in rows)
    assert max(Counter(tuple(row.values()) for row in rows).values()) >= 2
    linked = {row["traits"]["customer_no"] for row in company.rows("web.events")
              if "customer_no" in row.get("traits", {})}  # fmt: skip
    numbers = set(company.users("erp_customer_no"))
    assert linked <= numbers
    assert 0.5 <= len(linked) / len(numbers) <= 0.7


def test_consent_is_given_and_taken_back(company: Company) -> None:
    rows = company.rows("consent.consent_events")
    assert {"subscribed", "unsubscribed", "did_not_subscribe"} <= {row["status"] for row in rows}
    assert {"GDPR", "PDPD-VN", "PDPA-TW", "IR"} == {row["jurisdiction"] for row in rows}
    assert any(row["expires_at"] for row in rows)
    assert {"email", "phone"} == {row["contact_point_type"] for row in rows}


def test_rates_cover_the_whole_history(company: Company) -> None:
    days: dict[str, set[str]] = defaultdict(set)
    for row in company.rows("fx.rates"):
        days[row["currency"]].add(row["rate_date"])
    assert set(days) == {"VND", "TWD", "IRR", "USD", "EUR"}
    assert {len(found) for found in days.values()} == {730}
