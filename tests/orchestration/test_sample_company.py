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
    "pos.receipts": "updated_at",
    "pos.receipt_lines": "updated_at",
    "loyalty.points_ledger": "occurred_at",
    "loyalty.coupons": "updated_at",
    "hubspot.contact": "_fivetran_synced",
    "klaviyo.person": "updated",
    "klaviyo.event": "datetime",
    "zendesk.ticket": "updated_at",
    "social.interactions": "occurred_at",
    "survey.answers": "answered_at",
    "ads.daily_spend": "updated_at",
    "ads.clicks": "clicked_at",
}
KEYS = {
    "web.events": ("messageId",),
    "shopify.customer": ("id", "updated_at"),
    "shopify.order": ("id", "updated_at"),
    "shopify.order_line": ("id",),
    "shopify.tender_transaction": ("id",),
    "consent.consent_events": ("consent_event_id",),
    "pos.receipts": ("receipt_id", "updated_at"),
    "pos.receipt_lines": ("receipt_id", "line_no"),
    "pim.price_stock": ("sku", "day"),
    "loyalty.members": ("loyalty_no", "updated_at"),
    "loyalty.points_ledger": ("ledger_entry_id",),
    "loyalty.coupons": ("coupon_id", "updated_at"),
    "subscriptions.renewals": ("renewal_id", "updated_at"),
    "hubspot.contact": ("id", "_fivetran_synced"),
    "klaviyo.person": ("id", "updated"),
    "klaviyo.event": ("id",),
    "zendesk.ticket": ("id", "updated_at"),
    "line.events": ("webhookEventId",),
    "social.interactions": ("network", "interaction_id"),
    "survey.answers": ("answer_id",),
    "ads.daily_spend": ("network", "campaign_id", "day", "updated_at"),
    "ads.clicks": ("click_id",),
    "dmp.audience_members": ("provider", "audience_id", "key_type", "key_value", "delivered_at"),
}
# An address with a click's id, and the parameter that each network puts it into.
CLICK = re.compile(r"[?&](gclid|fbclid)=([A-Za-z0-9]+)")
CLICK_NETWORKS = {"gclid": "google", "fbclid": "facebook"}

# The columns of the further sources that say who somebody is, by the type of identifier.
FURTHER_IDENTIFIERS = {
    "pos.receipts": {"loyalty_no": "loyalty_no", "email": "email", "phone": "phone"},
    "pos.loyalty_sign_ups": {"loyalty_no": "loyalty_no", "email": "email", "phone": "phone"},
    "loyalty.members": {
        "loyalty_no": "loyalty_no",
        "shopify_customer_id": "shopify_customer_id",
        "email": "email",
        "phone": "phone",
    },
    "loyalty.points_ledger": {"loyalty_no": "loyalty_no"},
    "loyalty.coupons": {"loyalty_no": "loyalty_no"},
    "subscriptions.subscriptions": {
        "shopify_customer_id": "shopify_customer_id",
        "email": "email",
    },
    "klaviyo.person": {"klaviyo_person_id": "id", "email": "email", "phone": "phone_number"},
    "zendesk.user": {
        "zendesk_user_id": "id",
        "shopify_customer_id": "external_id",
        "email": "email",
        "phone": "phone",
    },
    "hubspot.contact_merge_audit": {"hubspot_contact_id": "vid_to_merge"},
    "line.followers": {"shopify_customer_id": "shopify_customer_id", "email": "email"},
    "social.interactions": {"email": "email"},
    "survey.answers": {"loyalty_no": "loyalty_no", "email": "email"},
    "ads.clicks": {"click_id": "click_id"},
}
SPELLINGS = {"email": str.lower, "loyalty_no": str.upper}
COUNTRIES = {"Vietnam": "VN", "Taiwan": "TW", "Iran": "IR", "United Kingdom": "GB"}

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


def _is_robot(event: dict[str, Any]) -> bool:
    return "bot" in event["context"]["userAgent"].lower()


def _line_user(event: dict[str, Any]) -> str:
    return f"{event['provider_id'].lower()}:{event['source']['userId']}"


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
    assert len(files) == company.summary.files <= 420
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
        "mobile_ad_id": "shared_device",
    }
    for kind in {row["identifier_type"] for row in company.identifiers}:
        for people in company.users(kind).values():
            if len(people) > 1:
                assert kind in allowed, (kind, people)
                assert all(allowed[kind] in troubles[person] for person in people)
    assert max(len(p) for p in company.users("phone").values()) <= 5


def test_every_identifier_of_the_truth_shows_in_the_files(company: Company) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for row in company.rows("web.events"):
        if _is_robot(row):
            continue
        traits = row.get("traits", {})
        seen["shopify_customer_id"].add(row.get("userId", ""))
        seen["anonymous_id"].add(row["anonymousId"])
        seen["device_id"].add(row["context"].get("device", {}).get("id", ""))
        seen["mobile_ad_id"].add(row["context"].get("device", {}).get("advertisingId", ""))
        clicked = CLICK.search(row["context"].get("page", {}).get("url", ""))
        seen["click_id"].add(clicked.group(2) if clicked else "")
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
    for table, columns in FURTHER_IDENTIFIERS.items():
        for row in company.rows(table):
            if row.get("role") == "agent":
                continue
            for kind, column in columns.items():
                value = row[column]
                if kind == "phone":
                    value = _e164(value, row.get("country_code")) or ""
                seen[kind].add(SPELLINGS.get(kind, str.strip)(value))
    # A row that is broken has a key of its own, which nobody uses.
    for row in company.rows("line.followers"):
        if not row["user_id"].startswith("9"):
            seen["line_user_id"].add(f"{row['provider_id']}:{row['user_id']}")
    for row in company.rows("line.events"):
        seen["line_user_id"].add(_line_user(row))
    for row in company.rows("social.interactions"):
        page = row["page_id"].lower()
        seen["social_profile_id"].add(f"{row['network']}:{page}:{row['profile_id']}")
    for row in company.rows("hubspot.contact"):
        seen["hubspot_contact_id"].add(row["id"])
        country = COUNTRIES[row["property_country"]]
        seen["email"].add(row["property_email"].lower())
        seen["phone"].add(_e164(row["property_phone"], country) or "")
    for kind in {row["identifier_type"] for row in company.identifiers}:
        values = set(company.users(kind))
        assert values <= seen[kind], (kind, sorted(values - seen[kind])[:5])
        strange = seen[kind] - values - {""} - JUNK
        strange -= {value for value in strange if value[:1] == "9" and value[1:] in values}
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


def _sound(company: Company, table: str, key: str) -> Rows:
    """Rows whose key the truth knows: not the broken copies."""
    known = company.record_people(*table.split("."))
    return [row for row in company.rows(table) if row[key] in known]


def _latest(rows: Rows, key: str, version: str) -> dict[str, dict[str, Any]]:
    """The newest version of each row."""
    return {row[key]: row for row in sorted(rows, key=lambda row: row[version])}


def _moment(text: str) -> datetime:
    found = _time(text)
    assert found is not None, text
    return found


def _everywhere(company: Company) -> set[str]:
    """People who take part in everything that the further sources tell of."""
    people = company.record_people
    cards = people("loyalty", "members")
    receipts = {people("pos", "receipts")[row["receipt_id"]]
                for row in _sound(company, "pos.receipts", "receipt_id")
                if row["loyalty_no"]}  # fmt: skip
    told = {cards[row["loyalty_no"]] for row in _sound(company, "loyalty.members", "loyalty_no")
            if row["shopify_customer_id"]}  # fmt: skip
    contacts, profiles = people("hubspot", "contact"), people("klaviyo", "person")
    users = people("zendesk", "user")
    calls = {row["engagement_id"] for row in company.rows("hubspot.engagement_call")}
    called = {contacts[row["contact_id"]] for row in company.rows("hubspot.engagement_contact")
              if row["engagement_id"] in calls}  # fmt: skip
    clicked = {profiles[row["person_id"]] for row in company.rows("klaviyo.event")
               if row["type"] == "Clicked Email"}  # fmt: skip
    rated = {users[row["requester_id"]] for row in company.rows("zendesk.satisfaction_rating")
             if row["score"] in ("good", "bad")}  # fmt: skip
    lines = people("line", "events")
    wrote = {lines[row["webhookEventId"]] for row in company.rows("line.events")
             if row["type"] == "message" and row["webhookEventId"] in lines}  # fmt: skip
    followers = people("line", "followers")
    linked = {followers[f"{row['provider_id']}|{row['user_id']}"]
              for row in company.rows("line.followers")
              if row["shopify_customer_id"] and not row["user_id"].startswith("9")}  # fmt: skip
    social = people("social", "interactions")
    left_mail = {social[f"{row['network']}|{row['interaction_id']}"]
                 for row in company.rows("social.interactions")
                 if row["email"] and not row["interaction_id"].startswith("9")}  # fmt: skip
    answered = set(people("survey", "answers").values())
    used = {people("loyalty", "coupons")[row["coupon_id"]]
            for row in _sound(company, "loyalty.coupons", "coupon_id")
            if row["redeemed_at"]}  # fmt: skip
    subscriptions = people("subscriptions", "subscriptions")
    renewed = {subscriptions[row["subscription_id"]]
               for row in company.rows("subscriptions.renewals")
               if row["subscription_id"] in subscriptions}  # fmt: skip
    return set.intersection(
        receipts, told, called, clicked, rated, wrote, linked, left_mail, answered, used, renewed
    )


def test_some_people_take_part_in_everything(company: Company) -> None:
    assert 3 <= len(_everywhere(company)) <= PEOPLE * 0.01


def test_a_line_user_is_somebody_else_with_another_provider(company: Company) -> None:
    users = company.users("line_user_id")
    assert all(len(people) == 1 for people in users.values())
    people_of: dict[str, dict[str, str]] = defaultdict(dict)
    for value, people in users.items():
        provider, _, user = value.partition(":")
        people_of[user][provider] = min(people)
    shared = [found for found in people_of.values() if len(found) > 1]
    assert shared
    assert all(len(set(found.values())) == len(found) for found in shared)
    # Both are sure by their account, so that reading the id alone would join two accounts.
    accounts = {(row["provider_id"], row["user_id"]): row["shopify_customer_id"]
                for row in company.rows("line.followers")}  # fmt: skip
    ids = [user for user, found in people_of.items() if len(found) > 1]
    assert all(accounts["prov-1", user] and accounts["prov-2", user] for user in ids)
    assert all(accounts["prov-1", user] != accounts["prov-2", user] for user in ids)
    # And somebody is known to both providers, by two userIds.
    known = [min(people) for value, people in users.items()]
    assert len(known) > len(set(known))


def test_a_redelivered_line_event_says_so(company: Company) -> None:
    deliveries: dict[str, list[bool]] = defaultdict(list)
    for row in company.rows("line.events"):
        deliveries[row["webhookEventId"]].append(row["deliveryContext"]["isRedelivery"])
    assert any(len(found) > 1 for found in deliveries.values())
    assert all(found.count(False) == 1 for found in deliveries.values())


def test_merged_contacts_are_one_person(company: Company) -> None:
    contacts = company.record_people("hubspot", "contact")
    rows = [row for row in company.rows("hubspot.contact") if row["id"] in contacts]
    latest = _latest(rows, "id", "_fivetran_synced")
    pairs = {(row["canonical_vid"], row["vid_to_merge"]): row
             for row in company.rows("hubspot.contact_merge_audit")}  # fmt: skip
    assert pairs
    other_mail = 0
    for (canonical, merged), row in pairs.items():
        assert contacts[canonical] == contacts[merged]
        assert canonical != merged
        assert latest[merged]["_fivetran_deleted"] == "true"
        assert latest[canonical]["_fivetran_deleted"] == "false"
        assert _moment(row["timestamp"]) > _moment(latest[merged]["property_createdate"])
        emails = {latest[canonical]["property_email"].lower(),
                  latest[merged]["property_email"].lower()} - {""}  # fmt: skip
        other_mail += len(emails) > 1
    assert other_mail
    deleted = {number for number, row in latest.items() if row["_fivetran_deleted"] == "true"}
    assert deleted == {merged for _, merged in pairs}


def test_renewals_follow_the_start_and_few_are_of_nothing_known(company: Company) -> None:
    rows = _sound(company, "subscriptions.subscriptions", "subscription_id")
    started = {row["subscription_id"]: _moment(row["started_at"]) for row in rows}
    ended = {row["subscription_id"]: _moment(row["cancelled_at"])
             for row in company.rows("subscriptions.cancellations")}  # fmt: skip
    assert ended and set(ended) <= set(started)
    renewals = {row["renewal_id"]: row for row in company.rows("subscriptions.renewals")
                if row["renewal_id"].startswith("REN")}  # fmt: skip
    lost = 0
    for row in renewals.values():
        if row["subscription_id"] not in started:
            lost += 1
            continue
        renewed = _moment(row["renewed_at"])
        assert renewed > started[row["subscription_id"]]
        assert renewed <= ended.get(row["subscription_id"], renewed)
    assert 1 <= lost <= max(1, len(renewals) / 300)
    statuses = {row["status"] for row in company.rows("subscriptions.renewals")}
    assert {"paid", "failed"} <= statuses


def test_points_redeemed_are_those_that_paid_for_a_receipt(company: Company) -> None:
    paid = {row["receipt_id"]: row for row in _sound(company, "pos.receipts", "receipt_id")
            if _time(row["issued_at"]) and float(row["points_amount"]) > 0}  # fmt: skip
    entries = {row["ledger_entry_id"]: row
               for row in _sound(company, "loyalty.points_ledger", "ledger_entry_id")}  # fmt: skip
    redeemed = {row["reference"]: row for row in entries.values()
                if row["entry_type"] == "redeemed"}  # fmt: skip
    assert redeemed and set(redeemed) == set(paid)
    worth = {"GBP": 0.01, "VND": 320.0, "TWD": 0.4, "IRR": 550.0}
    for number, row in paid.items():
        entry = redeemed[number]
        points = -int(entry["points"])
        assert points * worth[row["currency"]] == pytest.approx(float(row["points_amount"]))
        assert float(row["points_amount"]) <= float(row["total_amount"])
        assert entry["loyalty_no"] == row["loyalty_no"].upper()
    balance: Counter[str] = Counter()
    for row in sorted(entries.values(), key=lambda row: (row["occurred_at"], -int(row["points"]))):
        balance[row["loyalty_no"]] += int(row["points"])
        assert balance[row["loyalty_no"]] >= 0
    assert {row["entry_type"] for row in entries.values()} == {
        "earned", "redeemed", "expired", "adjusted",
    }  # fmt: skip


def test_receipts_add_up_and_returns_follow_their_sale(company: Company) -> None:
    receipts = {row["receipt_id"]: row for row in company.rows("pos.receipts")
                if row["receipt_id"].startswith("R-") and _time(row["issued_at"])}  # fmt: skip
    lines: dict[tuple[str, str], float] = {}
    for row in company.rows("pos.receipt_lines"):
        if row["receipt_id"].startswith("R-") and row["quantity"].isdigit():
            price = float(row["unit_price"]) * int(row["quantity"])
            lines[row["receipt_id"], row["line_no"]] = price - float(row["discount_amount"])
    totals: dict[str, float] = defaultdict(float)
    for (number, _), amount in lines.items():
        totals[number] += amount
    returns = nobody = 0
    for number, row in receipts.items():
        assert float(row["total_amount"]) == pytest.approx(totals[number], abs=0.01)
        nobody += not (row["loyalty_no"] or row["email"] or row["phone"])
        if row["receipt_type"] == "return":
            returns += 1
            sale = receipts.get(row["original_receipt_id"])
            if sale:
                assert row["issued_at"] > sale["issued_at"]
                assert float(row["total_amount"]) <= float(sale["total_amount"]) + 0.01
                assert row["store_id"] == sale["store_id"]
    assert 0.03 <= returns / len(receipts) <= 0.09
    assert 0.28 <= nobody / len(receipts) <= 0.42
    assert {row["store_id"] for row in receipts.values()} == {
        "ST-HANOI", "ST-TAIPEI", "ST-TEHRAN", "ST-LONDON", "ST-LEEDS",
    }  # fmt: skip


def test_tills_and_subscriptions_sell_what_the_master_knows(company: Company) -> None:
    master = {row["sku"] for row in company.rows("pim.products")}
    variants = {row["sku"] for row in company.rows("shopify.product_variant")}
    assert variants <= master
    sold = [row["sku"].upper() for row in company.rows("pos.receipt_lines")]
    strange = [sku for sku in sold if sku not in master]
    assert all(sku.startswith("SKU-X") for sku in strange)
    assert 1 <= len(strange) <= max(len(sold) * 0.01, 2)
    assert {row["sku"] for row in company.rows("subscriptions.subscriptions")} <= master
    codes = {row["erp_stock_code"] for row in company.rows("pim.products")} - {""}
    assert len(codes) == 15
    assert codes <= {row["StockCode"] for row in company.rows("erp.invoice_lines")}
    days: dict[str, set[str]] = defaultdict(set)
    for row in company.rows("pim.price_stock"):
        if row["sku"] in master and row["day"] != "someday":
            days[row["sku"]].add(row["day"])
    assert set(days) == master
    assert {len(found) for found in days.values()} == {60}
    assert any(row["stock_quantity"] == "0" for row in company.rows("pim.price_stock"))


def test_coupons_are_used_after_they_were_given(company: Company) -> None:
    receipts = {row["receipt_id"] for row in company.rows("pos.receipts")}
    orders = {row["id"] for row in company.rows("shopify.order")}
    used = [row for row in _sound(company, "loyalty.coupons", "coupon_id") if row["redeemed_at"]]
    assert used
    for row in used:
        assert _moment(row["issued_at"]) < _moment(row["redeemed_at"]) < _moment(row["expires_at"])
        assert row["redeemed_reference"] in receipts | orders


def test_what_refers_to_a_person_refers_to_one_who_landed(company: Company) -> None:
    """Tickets, verdicts, events and engagements name users, profiles and contacts that exist."""
    for child, column, parent in (
        ("zendesk.ticket", "requester_id", "zendesk.user"),
        ("zendesk.satisfaction_rating", "requester_id", "zendesk.user"),
        ("zendesk.satisfaction_rating", "ticket_id", "zendesk.ticket"),
        ("klaviyo.event", "person_id", "klaviyo.person"),
        ("klaviyo.event", "campaign_id", "klaviyo.campaign"),
        ("klaviyo.event", "flow_id", "klaviyo.flow"),
        ("hubspot.engagement_contact", "contact_id", "hubspot.contact"),
        ("hubspot.contact_form_submission", "contact_id", "hubspot.contact"),
        ("hubspot.deal_contact", "contact_id", "hubspot.contact"),
        ("hubspot.deal_contact", "deal_id", "hubspot.deal"),
        ("hubspot.deal", "deal_pipeline_stage_id", "hubspot.deal_pipeline_stage"),
        ("pos.loyalty_sign_ups", "loyalty_no", "loyalty.members"),
        ("loyalty.points_ledger", "loyalty_no", "loyalty.members"),
        ("loyalty.coupons", "loyalty_no", "loyalty.members"),
    ):
        key = {"hubspot.deal": "deal_id", "hubspot.deal_pipeline_stage": "stage_id",
               "loyalty.members": "loyalty_no"}.get(parent, "id")  # fmt: skip
        there = {row[key] for row in company.rows(parent)}
        assert {row[column] for row in company.rows(child)} - {""} <= there, (child, column)
    engaged = {row["engagement_id"] for row in company.rows("hubspot.engagement_contact")}
    for kind in ("call", "note", "meeting"):
        rows = company.rows(f"hubspot.engagement_{kind}")
        told = {row["engagement_id"] for row in rows}
        assert {number for number in told if len(number) == 10} <= engaged
    won = {
        row["stage_id"]: row["closed_won"] for row in company.rows("hubspot.deal_pipeline_stage")
    }
    assert len(won) == 6 and list(won.values()).count("true") == 1


def test_messages_are_opened_after_they_came(company: Company) -> None:
    first: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for row in company.rows("klaviyo.event"):
        if row["id"].startswith("ke-") and _time(row["datetime"]):
            message = (row["person_id"], row["campaign_id"], row["flow_id"])
            first[message][row["type"]] = row["datetime"]
    types = {kind for found in first.values() for kind in found}
    assert types == {"Received Email", "Opened Email", "Clicked Email", "Bounced Email",
                     "Unsubscribed", "Marked Email as Spam"}  # fmt: skip
    for found in first.values():
        if "Opened Email" in found:
            assert found["Opened Email"] > found["Received Email"]
        if "Clicked Email" in found:
            assert found["Clicked Email"] > found["Opened Email"]


def test_clicks_match_the_addresses_of_the_site(company: Company) -> None:
    on_site: dict[str, tuple[str, str, datetime, str]] = {}
    people = company.record_people("web", "events")
    for row in company.rows("web.events"):
        clicked = CLICK.search(row["context"].get("page", {}).get("url", ""))
        if clicked and row["messageId"] in people:
            campaign = row["context"]["campaign"]
            assert campaign["medium"] == "cpc"
            network = CLICK_NETWORKS[clicked.group(1)]
            assert campaign["source"] == network
            moment = _moment(row["timestamp"])
            person = people[row["messageId"]]
            on_site[clicked.group(2)] = (network, campaign["name"], moment, person)
    known = company.record_people("ads", "clicks")
    campaigns = {(row["network"], row["campaign_id"]): row["utm_campaign"]
                 for row in company.rows("ads.daily_spend")}  # fmt: skip
    assert set(known) <= set(on_site)
    assert 0.85 <= len(known) / len(on_site) <= 0.95
    for row in company.rows("ads.clicks"):
        if row["click_id"] not in known:
            continue
        network, name, moment, person = on_site[row["click_id"]]
        assert (network, name) == (row["network"], campaigns[network, row["campaign_id"]])
        assert 0 < (moment - _moment(row["clicked_at"])).total_seconds() < 60
        assert known[row["click_id"]] == person


def test_spend_covers_every_day_of_the_history(company: Company) -> None:
    days: dict[str, set[str]] = defaultdict(set)
    for row in company.rows("ads.daily_spend"):
        if _time(row["day"]) and not row["campaign_id"].startswith("9"):
            days[row["campaign_id"]].add(row["day"])
    assert [len(found) for found in days.values()] == [730] * 4


def test_robots_and_the_office_visit_the_site(company: Company) -> None:
    known = company.record_people("web", "events")
    robots: dict[str, int] = Counter()
    office, sessions = 0, 0
    reserved = re.compile(r"(203\.0\.113|198\.51\.100|10\.20\.0)\.\d{1,3}")
    for row in company.rows("web.events"):
        assert reserved.fullmatch(row["context"]["ip"])
        office += row["context"]["ip"].startswith("10.")
        sessions += 1
        if _is_robot(row):
            assert row["messageId"] not in known and "userId" not in row
            assert row["type"] == "page"
            robots[row["anonymousId"]] += 1
        elif not row["messageId"].startswith("bad-"):
            assert row["messageId"] in known
    assert len(robots) >= 2
    assert min(robots.values()) >= 3
    assert robots.keys().isdisjoint(company.users("anonymous_id"))
    assert 1 <= office <= sessions * 0.01


def test_bought_audiences_are_of_browsers_phones_and_hashed_addresses(company: Company) -> None:
    # A broken row's key is longer by one.
    rows = [row for row in company.rows("dmp.audience_members")
            if len(row["key_value"]) in (36, 64)]  # fmt: skip
    hashes = {hashlib.sha256(email.encode()).hexdigest() for email in company.users("email")}
    known = {
        "cookie": set(company.users("anonymous_id")),
        "mobile_ad_id": set(company.users("mobile_ad_id")),
        "hashed_email": hashes,
    }
    for kind, values in known.items():
        keys = {row["key_value"] for row in rows if row["key_type"] == kind}
        assert keys & values and keys - values, kind
    age = {(datetime(2026, 11, 1) - _moment(row["delivered_at"])).days for row in rows
           if _time(row["delivered_at"])}  # fmt: skip
    assert min(age) <= 3 and 90 < max(age) <= 150
    assert {"activation", "analytics", "none"} <= {row["licence"] for row in rows}


def test_visitors_stay_unknown_to_everybody_but_the_networks(company: Company) -> None:
    known = set().union(*company.users("email").values(), *company.users("phone").values(),
                        *company.users("shopify_customer_id").values())  # fmt: skip
    for source, table in (
        ("hubspot", "contact"), ("klaviyo", "person"), ("zendesk", "user"), ("line", "followers"),
        ("loyalty", "members"), ("subscriptions", "subscriptions"), ("survey", "answers"),
        ("pos", "receipts"),
    ):  # fmt: skip
        assert set(company.record_people(source, table).values()) <= known
    assert set(company.record_people("social", "interactions").values()) - known
    assert any(not row["email"] and not row["loyalty_no"] for row in company.rows("survey.answers"))


def test_nothing_happens_outside_the_history(company: Company) -> None:
    """Planned ends may lie ahead; what happened lies in the two years."""
    planned = {"expires_at", "property_closedate", "birth_date", "birthday", "rate_date"}
    first, last = datetime(2024, 11, 1), datetime(2026, 11, 1)
    sources = ("pos", "pim", "hubspot", "klaviyo", "zendesk", "social", "ads", "dmp", "survey",
               "loyalty", "subscriptions")  # fmt: skip
    for table in company.files:
        if table.split(".")[0] not in sources:
            continue
        for row in company.rows(table):
            for column, value in row.items():
                if column in planned or not re.match(r"\d{4}-\d\d-\d\d", value):
                    continue
                assert first <= _moment(value) < last, (table, column, value)
