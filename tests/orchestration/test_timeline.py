"""One customer's timeline over every channel, and what careless sources do to it: real builds."""

import hashlib
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support import AGAIN, AS_OF, Dbt, account, event, make_home, put, query

from orchestration.home import Home

MODELS = (
    "+interactions", "+sessions", "+order_lines", "+products", "+product_history",
    "+third_party_audience_members", "+customers", "+campaign_performance",
)  # fmt: skip
AT = "2026-10-01 10:00:00"
LINH = "linh@example.com"
CLICK = "click-of-linh"
RIGHT_TO_LEFT, EMOJI = "\u202e\u2067", "\U0001f469\u200d\U0001f4bb"
# The largest text that one field takes; a property a little longer is refused.
LIMIT = 1024 * 1024


def page(number: str, at: str, visitor: str, **given: Any) -> dict[str, Any]:
    return event(number, "page", at, anonymousId=visitor, **given)


def landing_page(path: str, query_text: str = "", **campaign: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "page": {"path": path, "url": f"https://shop.example{path}{query_text}"}
    }
    if campaign:
        found["campaign"] = campaign
    return found


def put_web(home: Home) -> None:
    put(
        home,
        "web/events",
        "events.jsonl",
        [
            # Linh comes by a click, looks, comes back within half an hour, and logs in.
            page("1", "2026-09-20T10:00:00Z", "linh-browser",
                 context=landing_page("/sale", f"?gclid={CLICK}")),
            event("2", "track", "2026-09-20T10:20:00Z", event="Product Viewed",
                  anonymousId="linh-browser", properties={"product_id": "p1"}),
            event("3", "identify", "2026-09-20T10:49:59Z", anonymousId="linh-browser",
                  userId="linh", traits={"email": LINH}),
            # The day after, by a mail, and without logging in.
            page("4", "2026-09-21T10:00:00Z", "linh-browser",
                 context=landing_page("/new", name="news", source="list", medium="email")),
            # A tablet in the shop: four people within a month, and one visit that nobody owns.
            *(
                event(f"tablet-{n}", "identify", f"2026-09-1{n}T10:00:00Z",
                      anonymousId="tablet", userId=f"tablet{n}")
                for n in range(4)
            ),
            page("tablet-page", "2026-09-14T10:00:00Z", "tablet"),
            # An old browser, last seen 396 days before.
            page("old", "2025-10-01T10:00:00Z", "old-browser"),
            # A robot and our own office.
            page("robot", "2026-09-20T10:00:00Z", "robot-browser",
                 context={"userAgent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}),
            page("office", "2026-09-20T10:00:00Z", "office-browser", context={"ip": "10.1.2.3"}),
            # A clock ten years ahead, one ten years behind, and one that was offline for a month.
            {**page("ahead", "2036-09-20T10:00:00Z", "clock-browser"),
             "receivedAt": "2026-09-20T10:00:05Z"},
            {**page("behind", "2016-09-20T10:00:00Z", "clock-browser"),
             "receivedAt": "2026-09-20T11:00:00Z"},
            {**page("offline", "2026-08-20T10:00:00Z", "clock-browser"),
             "receivedAt": "2026-09-20T12:00:00Z"},
            # Two events with one id: the one received last is the event.
            {**page("twice", "2026-09-22T10:00:00Z", "twice-browser", name="First"),
             "receivedAt": "2026-09-22T10:00:01Z"},
            {**page("twice", "2026-09-22T10:00:00Z", "twice-browser", name="Second"),
             "receivedAt": "2026-09-22T10:00:02Z"},
            # A megabyte less a little, one more than that, and nested JSON where text is declared.
            event("large", "track", "2026-09-23T10:00:00Z", event="Large",
                  anonymousId="large-browser", properties={"text": "x" * (LIMIT - 50)}),
            event("too-large", "track", "2026-09-23T10:00:00Z", event="Too large",
                  anonymousId="large-browser", properties={"text": "x" * (LIMIT + 1)}),
            event("nested", "track", "2026-09-23T10:00:00Z", event={"name": "Nested"},
                  anonymousId="large-browser"),
            # A call about a company says nothing of the person.
            event("group", "group", "2026-09-20T10:50:30Z", anonymousId="linh-browser",
                  userId="linh", groupId="firm", traits={"email": "firm@example.org"}),
            # An alias joins what was anonymous to who it became.
            event("alias", "alias", "2026-09-24T10:00:00Z", previousId="phone-browser",
                  userId="linh"),
            page("phone", "2026-09-24T09:00:00Z", "phone-browser"),
        ],
    )  # fmt: skip


def put_shop(home: Home) -> None:
    put(
        home,
        "shopify/customer",
        "accounts.csv",
        [
            account("linh", AT, email=LINH, first_name=f"{RIGHT_TO_LEFT}Linh {EMOJI}"),
            account(
                "gone", AT, email="gone@example.com", first_name="Gone", _fivetran_deleted="true"
            ),
            *(account(f"tablet{n}", AT, email=f"tablet{n}@example.com") for n in range(4)),
        ],
    )
    order = {"email": "", "currency": "GBP", "created_at": AT, "updated_at": AT}
    put(
        home,
        "shopify/order",
        "orders.csv",
        [
            {**order, "id": "first", "customer_id": "linh", "total_price": "120.00",
             "subtotal_price": "100.00", "total_tax": "15.00"},
            # A parcel for another customer, and the shop's own trial with a third one's address.
            {**order, "id": "gift", "customer_id": "linh", "total_price": "1",
             "created_at": "2026-09-01 10:00:00", "shipping_address_phone": "+447911000222",
             "shipping_address_country_code": "GB"},
            {**order, "id": "trial", "customer_id": "linh", "total_price": "1", "test": "true",
             "email": "tablet0@example.com"},
            {**order, "id": "over", "customer_id": "linh", "total_price": "10",
             "created_at": "2026-10-05 10:00:00"},
        ],
    )  # fmt: skip
    line = {"order_id": "first", "title": "Lamp", "price": "25.00", "total_discount": "0"}
    put(
        home,
        "shopify/order_line",
        "lines.csv",
        [
            {**line, "id": "l1", "product_id": "p1", "sku": "sku-1", "quantity": "2"},
            {**line, "id": "l2", "product_id": "gone", "sku": "sku-gone", "quantity": "2",
             "title": "Lamp that no master knows"},
        ],
    )  # fmt: skip
    put(home, "shopify/product", "products.csv", [{"id": "p1", "title": "Lamp", "updated_at": AT}])
    put(
        home,
        "shopify/product_variant",
        "variants.csv",
        [{"id": "v1", "product_id": "p1", "sku": "SKU-1", "price": "25", "updated_at": AT}],
    )
    refund = {"created_at": "2026-10-06 10:00:00"}
    put(
        home,
        "shopify/refund",
        "refunds.csv",
        [
            # A line was cancelled before it left: money back, and the order stays.
            {**refund, "id": "r1", "order_id": "first"},
            {**refund, "id": "r2", "order_id": "over"},
            {**refund, "id": "r3", "order_id": "late"},
        ],
    )
    back = {"quantity": "1", "total_tax": "0"}
    put(
        home,
        "shopify/order_line_refund",
        "refund_lines.csv",
        [
            {**back, "id": "b1", "refund_id": "r1", "order_line_id": "l2", "subtotal": "25.00"},
            {**back, "id": "b2", "refund_id": "r2", "order_line_id": "x", "subtotal": "99.00"},
            {**back, "id": "b3", "refund_id": "r3", "order_line_id": "y", "subtotal": "5.00"},
        ],
    )


def put_stores(home: Home) -> None:
    receipt = {"store_id": "s1", "receipt_type": "sale", "currency": "GBP", "issued_at": AT}
    put(
        home,
        "pos/receipts",
        "receipts.csv",
        [
            {**receipt, "receipt_id": "t1", "loyalty_no": " ly1 ", "total_amount": "40",
             "points_amount": "10"},
            {**receipt, "receipt_id": "t2", "total_amount": "12"},
            {**receipt, "receipt_id": "t3", "receipt_type": "return", "total_amount": "60",
             "original_receipt_id": "t1", "issued_at": "2026-10-03 10:00:00"},
            {**receipt, "receipt_id": "t4", "receipt_type": "return", "total_amount": "7",
             "original_receipt_id": "lost", "loyalty_no": "LY1"},
        ],
    )  # fmt: skip
    put(
        home,
        "pos/receipt_lines",
        "lines.csv",
        [
            {"receipt_id": "t1", "line_no": "1", "sku": "sku-1", "quantity": "2",
             "unit_price": "20", "product_name": "LAMP"},
            {"receipt_id": "t2", "line_no": "1", "sku": "SKU-TILL", "quantity": "1",
             "unit_price": "12", "product_name": "Bag"},
        ],
    )  # fmt: skip
    put(
        home,
        "loyalty/members",
        "members.csv",
        [{"loyalty_no": "LY1", "email": LINH, "tier": "Gold", "joined_at": AT, "updated_at": AT}],
    )
    put(
        home,
        "loyalty/points_ledger",
        "ledger.csv",
        [{"ledger_entry_id": "e1", "loyalty_no": "LY1", "entry_type": "redeemed",
          "points": "-100", "reference": "t1", "occurred_at": AT}],
    )  # fmt: skip
    put(
        home,
        "pim/products",
        "products.csv",
        [{"sku": "SKU-1", "name": "Reading lamp", "category": "light", "season": "2026-AW",
          "successor_sku": "SKU-2", "list_price": "30", "currency": "GBP", "updated_at": AT},
         {"sku": "SKU-2", "name": "New lamp", "list_price": "35", "currency": "GBP",
          "updated_at": AT}],
    )  # fmt: skip
    put(
        home,
        "pim/price_stock",
        "days.csv",
        [
            {"sku": "SKU-1", "day": day, "price": price, "currency": "GBP", "stock_quantity": stock,
             "updated_at": f"{day} 23:00:00"}
            for day, price, stock in (
                ("2026-10-01", "28", "5"), ("2026-10-02", "28", "5"), ("2026-10-03", "26", "0"),
            )
        ],
    )  # fmt: skip


def put_other_channels(home: Home) -> None:
    put(
        home,
        "klaviyo/person",
        "person.csv",
        [{"id": "k1", "email": LINH, "created": AT, "updated": AT}],
    )
    put(
        home,
        "klaviyo/event",
        "event.csv",
        [
            {"id": f"k{n}", "person_id": "k1", "type": kind, "datetime": f"2026-10-0{n} 08:00:00"}
            for n, kind in enumerate(
                ("Received Email", "Opened Email", "Clicked Email", "Received SMS", "Placed Order"),
                start=1,
            )
        ]
        + [
            {
                "id": "k0",
                "person_id": "k1",
                "type": "Opened Email",
                "_fivetran_deleted": "true",
                "datetime": "2026-10-02 08:00:00",
            }
        ],
    )
    contact = {"property_createdate": AT, "_fivetran_synced": AT}
    put(
        home,
        "hubspot/contact",
        "contact.csv",
        [
            {**contact, "id": "c1", "property_email": LINH},
            *({**contact, "id": f"c{n}"} for n in range(2, 5)),
            {"id": "undated"},
        ],
    )
    put(
        home,
        "hubspot/contact_merge_audit",
        "audit.csv",
        [
            # A circle, and a contact that was merged into itself.
            {"canonical_vid": "c1", "vid_to_merge": "c2", "timestamp": AT},
            {"canonical_vid": "c2", "vid_to_merge": "c3", "timestamp": AT},
            {"canonical_vid": "c3", "vid_to_merge": "c1", "timestamp": AT},
            {"canonical_vid": "c4", "vid_to_merge": "c4", "timestamp": AT},
        ],
    )
    put(
        home,
        "hubspot/engagement_call",
        "call.csv",
        [{"engagement_id": "g1", "property_hs_timestamp": AT}],
    )
    put(
        home,
        "hubspot/engagement_contact",
        "about.csv",
        [{"engagement_id": "g1", "contact_id": "c3"}],
    )
    put(
        home,
        "zendesk/user",
        "user.csv",
        [
            {"id": "z1", "email": LINH, "role": "end-user", "created_at": AT},
            {"id": "z2", "email": "agent@example.com", "role": "agent", "created_at": AT},
        ],
    )
    put(
        home,
        "zendesk/ticket",
        "ticket.csv",
        [{"id": "t1", "requester_id": "z1", "created_at": "2026-10-07 10:00:00"}],
    )
    put(
        home,
        "zendesk/satisfaction_rating",
        "rating.csv",
        [
            {"id": f"s{n}", "ticket_id": "t1", "requester_id": "z1", "score": score,
             "created_at": "2026-10-08 10:00:00"}
            for n, score in enumerate(("offered", "bad"))
        ],
    )  # fmt: skip
    message = {"type": "message", "timestamp": 1_790_000_000_000, "message": {"type": "text"}}
    put(
        home,
        "line/events",
        "line.jsonl",
        [
            {**message, "webhookEventId": "w1", "provider_id": "P1",
             "source": {"type": "user", "userId": "U1"}},
            {**message, "webhookEventId": "w2", "provider_id": "P2",
             "source": {"type": "user", "userId": "U1"}},
        ],
    )  # fmt: skip
    put(
        home,
        "line/followers",
        "followers.csv",
        [{"provider_id": "P1", "user_id": "U1", "shopify_customer_id": "linh", "updated_at": AT}],
    )
    put(
        home,
        "survey/answers",
        "answers.csv",
        [{"answer_id": "a1", "survey_id": "nps", "question_id": "q1", "question_type": "nps",
          "answer_value": "9", "email": LINH, "answered_at": "2026-10-08 10:00:00"}],
    )  # fmt: skip
    renewal = {"currency": "GBP", "amount": "15", "renewed_at": "2026-10-09 10:00:00"}
    put(
        home,
        "subscriptions/renewals",
        "renewals.csv",
        [
            {**renewal, "renewal_id": "n1", "subscription_id": "late", "status": "paid"},
            {**renewal, "renewal_id": "n2", "subscription_id": "late", "status": "failed"},
        ],
    )


def put_advertising(home: Home) -> None:
    put(
        home,
        "ads/daily_spend",
        "spend.csv",
        [{"network": "Google", "campaign_id": "g-1", "utm_campaign": "Spring", "day": "2026-09-20",
          "currency": "GBP", "clicks": "3", "impressions": "99", "spend": "30"}],
    )  # fmt: skip
    put(
        home,
        "ads/clicks",
        "clicks.csv",
        [{"click_id": CLICK, "network": "google", "campaign_id": "g-1",
          "clicked_at": "2026-09-20 09:59:58"}],
    )  # fmt: skip
    row = {"provider": "data-co", "party": "third", "licence": "activation"}
    hashed = hashlib.sha256(LINH.encode()).hexdigest()
    put(
        home,
        "dmp/audience_members",
        "members.csv",
        [
            {**row, "audience_id": "travel", "key_type": "cookie", "key_value": "linh-browser",
             "delivered_at": "2026-10-01 00:00:00"},
            {**row, "audience_id": "travel", "key_type": "hashed_email",
             "key_value": hashed.upper(), "delivered_at": "2026-10-20 00:00:00",
             "licence": "analytics"},
            {**row, "audience_id": "golf", "key_type": "hashed_email", "key_value": hashed,
             "delivered_at": "2026-10-20 00:00:00"},
            # Delivered 90 days before: over. And a browser that nobody but the seller knows.
            {**row, "audience_id": "cars", "key_type": "cookie", "key_value": "linh-browser",
             "delivered_at": "2026-08-03 00:00:00"},
            {**row, "audience_id": "golf", "key_type": "cookie", "key_value": "stranger",
             "delivered_at": "2026-10-20 00:00:00"},
            {**row, "audience_id": "golf", "key_type": "cookie", "key_value": "tablet",
             "delivered_at": "2026-10-20 00:00:00"},
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def company(dbt: Dbt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A company of hand-written rows, landed and built; only for reading."""
    home = make_home(tmp_path_factory.mktemp("timeline"))
    put_web(home)
    put_shop(home)
    put_stores(home)
    put_other_channels(home)
    put_advertising(home)
    dbt.build(home, MODELS)
    return home


@pytest.fixture(scope="module")
def linh(company: Home) -> str:
    [(customer_id,)] = query(
        company.warehouse,
        "select customer_id from profile.customers where email = ?",
        [LINH],
    )
    return str(customer_id)


def ask(home: Home, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return query(home.warehouse, statement, parameters)


def customers_of(home: Home, kind: str) -> dict[str, str]:
    return dict(
        ask(
            home,
            "select identifier_value, customer_id from identity.identity_map "
            "where is_current and identifier_type = ?",
            kind,
        )
    )


def orders(home: Home) -> dict[str, tuple[Any, ...]]:
    return {
        row[0]: row[1:]
        for row in ask(
            home,
            "select order_id, customer_id, order_amount, refunded_amount, points_amount, "
            "net_amount, is_credit_note from profile.orders",
        )
    }


def interaction(home: Home, number: str) -> dict[str, Any]:
    rows = ask(
        home,
        "select customer_id, occurred_at, activity, channel from profile.interactions "
        "where interaction_id = ?",
        f"web.events:event-{number}",
    )
    assert len(rows) == 1, rows
    return dict(zip(("customer_id", "occurred_at", "activity", "channel"), rows[0], strict=True))


def test_one_customers_timeline_has_every_channel(company: Home, linh: str) -> None:
    rows = ask(
        company,
        "select channel, activity from profile.interactions where customer_id = ?",
        linh,
    )
    assert set(rows) >= {
        ("web", "visit_started"), ("web", "page_viewed"), ("web", "product_viewed"),
        ("web", "order_placed"),
        ("web", "order_refunded"), ("store", "store_visited"), ("store", "order_placed"),
        ("email", "email_sent"), ("email", "email_opened"), ("email", "email_clicked"),
        ("line", "line_message_received"), ("service", "ticket_opened"), ("phone", "call_noted"),
        ("sms", "sms_sent"), ("mail_tool", "placed_order"), ("service", "ticket_rated_bad"),
        ("survey", "nps_answered"), ("ads", "ad_clicked"), ("loyalty", "loyalty_joined"),
        ("loyalty", "points_redeemed"),
    }  # fmt: skip


def test_what_was_deleted_or_only_offered_is_no_touch(company: Home, linh: str) -> None:
    assert ask(
        company,
        "select activity, count(*) from profile.interactions where customer_id = ? "
        "and (activity = 'email_opened' or activity like 'ticket_rated%') group by 1 order by 1",
        linh,
    ) == [("email_opened", 1), ("ticket_rated_bad", 1)]


def test_only_who_a_record_is_about_is_joined_by_it(company: Home, linh: str) -> None:
    """Not who gets the parcel, not the shop's own trials, not our agents."""
    assert "+447911000222" not in customers_of(company, "phone")
    assert customers_of(company, "email")["tablet0@example.com"] != linh
    assert "agent@example.com" not in customers_of(company, "email")
    assert "z2" not in customers_of(company, "zendesk_user_id")
    assert "shopify:trial" not in orders(company)


def test_a_deleted_account_is_evidence_and_no_longer_believed(company: Home) -> None:
    gone = customers_of(company, "email")["gone@example.com"]
    assert ask(
        company, "select email, first_name from profile.customers where customer_id = ?", gone
    ) == [(None, None)]


def test_an_activity_knows_the_one_before_and_the_last_purchase(company: Home, linh: str) -> None:
    rows = ask(
        company,
        "select activity_occurrence, seconds_since_previous, activity_repeated_at, "
        "previous_product_id from profile.interactions "
        "where customer_id = ? and activity = 'order_placed' and source = 'shopify' "
        "order by occurred_at",
        linh,
    )
    # The till's sale is of the same second as the second order; the shop's id stands behind it.
    assert [row[0] for row in rows] == [1, 3, 4]
    assert rows[0] == (1, None, datetime(2026, 10, 1, 10), None)
    assert rows[2] == (4, 4 * 86_400, None, "pim:SKU-1")
    assert rows[1][2] == datetime(2026, 10, 5, 10)


def test_anonymous_history_is_the_persons_once_known(company: Home, linh: str) -> None:
    assert interaction(company, "1")["customer_id"] == linh
    assert interaction(company, "4")["customer_id"] == linh
    assert interaction(company, "phone")["customer_id"] == linh, "joined by the alias call"


def test_history_of_a_shared_device_stays_apart(company: Home) -> None:
    found = [interaction(company, f"tablet-{n}")["customer_id"] for n in range(4)]
    assert len(set(found)) == 4 and None not in found
    assert interaction(company, "tablet-page")["customer_id"] is None


def test_history_of_an_old_browser_expires(company: Home) -> None:
    assert interaction(company, "old")["customer_id"] is None
    assert customers_of(company, "anonymous_id").get("old-browser") is None


def test_robots_and_our_own_people_are_nobody(company: Home) -> None:
    for name in ("robot", "office"):
        assert f"{name}-browser" not in customers_of(company, "anonymous_id")
        assert ask(
            company,
            "select count(*) from profile.interactions where interaction_id = ?",
            f"web.events:event-{name}",
        ) == [(0,)]
        assert ask(
            company, "select count(*) from profile.sessions where anonymous_id = ?",
            f"{name}-browser",
        ) == [(0,)]  # fmt: skip


def test_visits_end_after_half_an_hour_and_know_what_brought_them(company: Home, linh: str) -> None:
    rows = ask(
        company,
        "select customer_id, event_count, entry_page, channel_group, campaign "
        "from profile.sessions where anonymous_id = 'linh-browser' order by started_at",
    )
    assert rows == [
        (linh, 4, "/sale", "paid_search", "spring"),
        (linh, 1, "/new", "email", "news"),
    ]


def test_a_clock_ten_years_off_is_not_believed_and_a_late_event_is(company: Home) -> None:
    assert interaction(company, "ahead")["occurred_at"] == datetime(2026, 9, 20, 10, 0, 5)
    assert interaction(company, "behind")["occurred_at"] == datetime(2026, 9, 20, 11)
    assert interaction(company, "offline")["occurred_at"] == datetime(2026, 8, 20, 10)
    assert ask(
        company,
        "select max(last_seen_at) from identity.identifiers where identifier_value = ?",
        "clock-browser",
    ) == [(datetime(2026, 9, 20, 11),)]


def test_of_two_events_with_one_id_the_one_received_last_is_the_event(company: Home) -> None:
    assert ask(
        company,
        "select page_name from staging.stg_web__events where event_id = 'event-twice'",
    ) == [("Second",)]
    assert ask(
        company,
        "select count(*) from staging.stg_web__events_versions where event_id = 'event-twice'",
    ) == [(2,)]


def test_a_megabyte_is_taken_and_more_or_nested_text_is_told(company: Home) -> None:
    assert interaction(company, "large")["activity"] == "large"
    rejected = ask(
        company, "select column_name, rule, message from raw_web.events__rejected order by _row"
    )
    assert [row[:2] for row in rejected] == [("properties", "field_too_long"), ("event", "type")]
    assert "an object where string is declared" in rejected[1][2]


def test_a_company_is_not_the_person_who_told_of_it(company: Home) -> None:
    assert "firm@example.org" not in customers_of(company, "email")


def test_a_name_keeps_its_emoji_and_loses_what_turns_text_around(company: Home, linh: str) -> None:
    assert ask(company, "select first_name from profile.customers where customer_id = ?", linh) == [
        (f"Linh {EMOJI}",)
    ]


def test_a_circle_of_merges_is_one_person(company: Home, linh: str) -> None:
    contacts = customers_of(company, "hubspot_contact_id")
    assert {contacts[f"c{n}"] for n in (1, 2, 3)} == {linh}
    assert contacts["c4"] != linh


def test_who_has_no_date_is_known_since_the_day_of_landing(company: Home) -> None:
    assert ask(
        company,
        "select first_seen_at, last_seen_at from identity.identifiers "
        "where identifier_value = 'undated'",
    ) == [(datetime(2026, 11, 1), datetime(2026, 11, 1))]
    assert "undated" in customers_of(company, "hubspot_contact_id")


def test_a_line_user_means_nothing_outside_the_provider(company: Home, linh: str) -> None:
    users = customers_of(company, "line_user_id")
    assert users["p1:U1"] == linh
    assert users["p2:U1"] != linh


def test_third_parties_make_nobody_known_end_and_keep_to_their_licence(
    company: Home, linh: str
) -> None:
    assert ask(
        company,
        "select customer_id, third_party_audience_id, matched_by, is_for_activation, "
        "is_for_analytics from profile.third_party_audience_members order by 2",
    ) == [
        (linh, "golf", "hashed_email", True, True),
        (linh, "travel", "cookie", False, True),
    ]
    everyone = {
        value for (value,) in ask(company, "select identifier_value from identity.identifiers")
    }
    assert "stranger" not in everyone


def test_money_given_back_counts_up_to_the_order_and_waits_for_it(company: Home, linh: str) -> None:
    found = orders(company)
    assert found["shopify:first"] == (linh, 120, 25, 0, 95, False)
    assert found["shopify:over"] == (linh, 10, 10, 0, 0, False), "99 were given back"
    assert "shopify:late" not in found
    assert ask(
        company,
        "select tax_amount, shipping_amount from profile.orders where order_id = 'shopify:first'",
    ) == [(Decimal(15), Decimal(5))]
    assert ask(
        company,
        "select refunded_quantity, refunded_amount from profile.order_lines "
        "where order_line_id = 'shopify:l2'",
    ) == [(1, Decimal(25))]


def test_points_are_no_money_and_a_return_without_its_sale_is_a_credit_note(
    company: Home, linh: str
) -> None:
    found = orders(company)
    assert found["pos:t1"] == (linh, 40, 40, 10, 0, False), "60 were taken back"
    assert found["pos:t2"] == (None, 12, 0, 0, 12, False), "nobody showed a card"
    assert found["pos:t4"] == (linh, 0, 7, 0, -7, True)
    assert "pos:t3" not in found


def test_a_renewal_without_a_subscription_is_nobodys_sale(company: Home) -> None:
    found = orders(company)
    assert found["subscriptions:n1"] == (None, 15, 0, 0, 15, False)
    assert "subscriptions:n2" not in found, "it was not paid for"


def test_an_article_is_one_product_whoever_sells_it(company: Home) -> None:
    assert ask(
        company,
        "select product_id, source, name, category, price, is_in_stock, season, "
        "successor_product_id from profile.products order by 1",
    ) == [
        ("pim:SKU-1", "pim", "Reading lamp", "light", Decimal(26), False, "2026-AW", "pim:SKU-2"),
        ("pim:SKU-2", "pim", "New lamp", None, Decimal(35), True, None, None),
        ("pos:SKU-TILL", "pos", "Bag", None, Decimal(12), True, None, None),
        ("shopify:gone", "shopify", "Lamp that no master knows", None, Decimal(25), True, None,
         None),
    ]  # fmt: skip
    assert ask(
        company,
        "select order_line_id, product_id from profile.order_lines order by 1",
    ) == [
        ("pos:t1|1", "pim:SKU-1"),
        ("pos:t2|1", "pos:SKU-TILL"),
        ("shopify:l1", "pim:SKU-1"),
        ("shopify:l2", "shopify:gone"),
        ("subscriptions:n1", None),
    ]


def test_prices_and_stock_keep_their_history(company: Home) -> None:
    assert ask(
        company,
        "select valid_from, valid_to, price, stock_quantity, is_in_stock, is_current "
        "from profile.product_history where product_id = 'pim:SKU-1' order by 1",
    ) == [
        (date(2026, 10, 1), date(2026, 10, 3), Decimal(28), 5, True, False),
        (date(2026, 10, 3), date(9999, 12, 31), Decimal(26), 0, False, True),
    ]


def test_spend_meets_the_revenue_that_its_clicks_led_to(company: Home) -> None:
    rows = ask(
        company,
        "select attribution_model, spend_amount, attributed_amount, return_on_ad_spend "
        "from metrics.campaign_performance where campaign = 'spring' order by 1",
    )
    found = {row[0]: row[1:] for row in rows}
    assert found["first"] == (30, 95, pytest.approx(95 / 30))
    assert found["last"] == (30, 0, 0)
    assert found["linear"][:2] == (30, Decimal("47.5"))
    assert found["position"][:2] == (30, Decimal("47.5"))
    assert 0 < found["time_decay"][1] < Decimal("47.5"), "the click was the earlier touch"


def test_what_lands_late_is_put_in_its_place(
    dbt: Dbt, company: Home, linh: str, copy_home: Any
) -> None:
    home = copy_home(company)
    put(
        home,
        "shopify/order",
        "late.csv",
        [{"id": "late", "customer_id": "linh", "email": "", "currency": "GBP",
          "total_price": "20", "created_at": AT, "updated_at": AT}],
    )  # fmt: skip
    put(
        home,
        "subscriptions/subscriptions",
        "late.csv",
        [{"subscription_id": "late", "email": LINH, "plan": "Coffee", "sku": "sku-2",
          "currency": "GBP", "status": "active", "started_at": AT, "updated_at": AT}],
    )  # fmt: skip
    put(
        home,
        "pos/receipts",
        "late.csv",
        [{"receipt_id": "lost", "store_id": "s1", "receipt_type": "sale", "currency": "GBP",
          "total_amount": "9", "issued_at": AT, "loyalty_no": "LY1"}],
    )  # fmt: skip
    dbt.build(home, MODELS, *AGAIN, as_of=AS_OF)
    found = orders(home)
    assert found["shopify:late"] == (linh, 20, 5, 0, 15, False)
    assert found["subscriptions:n1"][0] == linh
    assert found["pos:lost"] == (linh, 9, 7, 0, 2, False)
    assert "pos:t4" not in found
    assert ask(
        home,
        "select product_id from profile.order_lines where order_id = 'subscriptions:n1'",
    ) == [("pim:SKU-2",)]


def test_every_landed_file_is_put_away(company: Home) -> None:
    assert [path for path in Path(company.landing).rglob("*") if path.is_file()] == []
