"""The golden record and consent over days: what was known when, through merges and answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import (
    AGAIN,
    AS_OF,
    QUICK,
    Dbt,
    account,
    consent,
    copy_project,
    event,
    land_waiting,
    make_home,
    put,
    query,
)

from orchestration.build_state import begin_build, end_build
from orchestration.cli import main
from orchestration.errors import CdpError
from orchestration.home import Home

SELECT = (
    "+customer_history", "+customer_attributes", "+customer_consent_history",
    "+contact_permissions", "+identity_redirects", "+suppression_list",
)  # fmt: skip
DAYS = [AS_OF + timedelta(days=number) for number in range(5)]
ANNA, GUEST, OTHER = "anna@example.com", "mona@example.com", "olga@example.com"
# What a build brings up to date for the customers whom something new is known of.
KEPT_UP_TO_DATE = (
    "identity.int_identity__contacts_of_sources",
    "profile.int_profile__push_tokens",
    "profile.int_profile__signal_events",
    "profile.int_profile__klaviyo_addresses",
    "profile.int_profile__contact_records",
    "profile.int_profile__attribute_values",
    "profile.customers",
    "profile.customer_attributes",
    "profile.int_profile__contact_points",
    "profile.contact_points",
)


def order(number: str, **given: str) -> dict[str, str]:
    return {
        "id": number,
        "customer_id": "",
        "email": "",
        "billing_address_country_code": "GB",
        "currency": "GBP",
        "total_price": "10",
        "created_at": "2026-10-01 10:00:00",
        "updated_at": "2026-10-01 10:00:00",
        **given,
    }


def klaviyo_event(number: str, kind: str, at: str, **given: str) -> dict[str, str]:
    return {
        "id": number,
        "person_id": "k1",
        "type": kind,
        "datetime": at,
        "_fivetran_synced": at,
        **given,
    }


def customer_of(home: Home, email: str, on: date) -> str:
    """Whose address it was on a day, from the map alone."""
    rows = query(
        home.warehouse,
        "select customer_id from identity.identity_map where identifier_value = ? "
        "and opened_as_of <= ? and (closed_as_of is null or closed_as_of > ?)",
        [email, on, on],
    )
    assert len(rows) == 1
    return str(rows[0][0])


def known(home: Home, customer: str, group: str, on: date) -> list[str]:
    """What the golden record said of a customer on a day."""
    rows = query(
        home.warehouse,
        "select attribute_value from profile.customer_history where customer_id = ? "
        "and attribute_group = ? and valid_from <= ? and (valid_to is null or valid_to > ?)",
        [customer, group, on, on],
    )
    return [row[0] for row in rows]


def histories(home: Home) -> list[list[tuple[Any, ...]]]:
    return [
        query(home.warehouse, f"select * from profile.{table} order by all")
        for table in ("customer_history", "consent_history", "customer_consent_history")
    ]


def golden_name(home: Home, email: str) -> str:
    """The given name of whoever has an address."""
    rows = query(
        home.warehouse, "select first_name from profile.customers where email = ?", [email]
    )
    assert len(rows) == 1
    return str(rows[0][0])


def kept_up_to_date(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: query(home.warehouse, f"select columns(*) from {table} order by all")
        for table in KEPT_UP_TO_DATE
    }


def changed_customers(home: Home) -> set[str]:
    """Whom the last build worked out anew."""
    rows = query(home.warehouse, "select customer_id from profile.int_profile__changed_customers")
    return {customer for (customer,) in rows}


def permissions(home: Home, email: str) -> dict[tuple[str, str], str]:
    rows = query(
        home.warehouse,
        "select channel, purpose, reason from profile.contact_permissions where contact_point = ?",
        [email],
    )
    return {(channel, purpose): reason for channel, purpose, reason in rows}


def assert_golden_history_ends_in_the_golden_record(dbt: Dbt, home: Home, on: date) -> None:
    dbt.invoke(home, on, ["test", "--select", "golden_history_ends_in_the_golden_record"])


@dataclass
class Story:
    """A home after five days; of each day what may be sent to Anna, and who was worked out anew."""

    home: Home
    told: list[dict[tuple[str, str], str]] = field(default_factory=list)
    changed: list[set[str]] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(dbt: Dbt, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """An account, a guest and a bystander; a new name and a no; a merge; a yes; the merge undone.

    On the fourth day a build dies half way.
    """
    home = make_home(tmp_path_factory.mktemp("story"))
    story = Story(home)

    def day(number: int, *options: str) -> None:
        dbt.build(home, SELECT, *options, as_of=DAYS[number])
        assert_golden_history_ends_in_the_golden_record(dbt, home, DAYS[number])
        story.told.append(permissions(home, ANNA))
        story.changed.append(changed_customers(home))

    at = "2026-10-01 10:00:00"
    olga = account("2", at, email=OTHER, first_name="Olga", last_name="Berg")
    put(
        home,
        "shopify/customer",
        "0.csv",
        [
            account("1", at, email=ANNA, first_name="Anna", last_name="Tran"),
            olga,
        ],
    )
    guest = order("o1", email=GUEST, billing_address_first_name="Ann")
    put(home, "shopify/order", "0.csv", [guest])
    put(home, "consent/consent_events", "0.csv", [consent("1", ANNA, "subscribed", at)])
    put(
        home,
        "klaviyo/person",
        "0.csv",
        [{"id": "k1", "email": ANNA.upper(), "created": at, "updated": at, "_fivetran_synced": at}],
    )
    day(0)
    later = "2026-11-02 08:00:00"
    put(
        home,
        "shopify/customer",
        "1.csv",
        [
            account("1", later, email=ANNA, first_name="Anna", last_name="Lindt")
            | {"created_at": at}
        ],
    )
    put(
        home,
        "klaviyo/event",
        "1.csv",
        [
            klaviyo_event("e1", "Unsubscribed", later),
            klaviyo_event("e2", "Bounced Email", later, property_bounce_type="Soft"),
        ],
    )
    # Born tomorrow, says a form; a device gives its token.
    traits = {"email": ANNA, "birthday": "2026-11-03"}
    put(
        home,
        "web/events",
        "1.jsonl",
        [
            event(1, "identify", later, userId="1", anonymousId="a1", traits=traits),
            event(
                2,
                "track",
                later,
                event="Product Viewed",
                userId="1",
                anonymousId="a1",
                context={"device": {"token": "token-1"}},
            ),
        ],
    )
    guest_profile = {"id": "k2", "email": GUEST, "created": at, "updated": later}
    put(home, "klaviyo/person", "1.csv", [{**guest_profile, "_fivetran_deleted": "false"}])
    day(1)
    link = order("o2", customer_id="1", email=GUEST, updated_at="2026-11-03 08:00:00")
    put(home, "shopify/order", "2.csv", [link])
    day(2)
    put(
        home,
        "consent/consent_events",
        "3.csv",
        [
            consent("2", ANNA, "subscribed", "2026-11-04 08:00:00"),
            # Of tomorrow: it waits for its day.
            consent("3", ANNA, "unsubscribed", "2026-11-06 08:00:00"),
        ],
    )
    # The mail tool forgets the guest.
    put(home, "klaviyo/person", "3.csv", [{**guest_profile, "_fivetran_deleted": "true"}])
    # A file is wrong, and the build dies when half of the profile is made of it.
    wrong = account("2", "2026-11-04 08:00:00", email=OTHER, first_name="Wrong", last_name="Berg")
    put(home, "shopify/customer", "3.csv", [{**wrong, "created_at": at}])
    dbt.build(home, ["+customers"], as_of=DAYS[3])
    assert golden_name(home, OTHER) == "Wrong"
    put(home, "shopify/customer", "3.csv", [olga])
    day(3)
    # The same file again, corrected: the order was by the account's own address.
    put(home, "shopify/order", "2.csv", [{**link, "email": ANNA}])
    put(
        home,
        "klaviyo/event",
        "4.csv",
        [klaviyo_event("e3", "Bounced Email", "2026-11-05 08:00:00", property_bounce_type="Hard")],
    )
    day(4)
    return story


def names(home: Home, email: str) -> Sequence[list[str]]:
    return [known(home, customer_of(home, email, on), "name", on) for on in DAYS]


def test_a_name_is_what_had_landed_by_the_day(story: Story) -> None:
    home = story.home
    told = names(home, ANNA)
    assert told == [["Anna, Tran"], *[["Anna, Lindt"]] * 4]


def test_a_guest_is_the_account_from_the_merge_until_it_is_undone(
    story: Story,
) -> None:
    home = story.home
    one = [customer_of(home, ANNA, on) == customer_of(home, GUEST, on) for on in DAYS]
    assert one == [False, False, True, True, False]
    assert names(home, GUEST) == [["Ann"], ["Ann"], ["Anna, Lindt"], ["Anna, Lindt"], ["Ann"]]
    emails = [known(home, customer_of(home, GUEST, on), "email", on) for on in DAYS]
    assert emails[0] == emails[1] == emails[4] == [GUEST]


def test_a_no_in_a_tool_wins_until_a_newer_yes_and_a_hard_bounce_over_both(
    story: Story,
) -> None:
    told = story.told
    key = ("email", "marketing")
    reasons = [each[key] for each in told]
    assert reasons == ["subscribed", "unsubscribed", "unsubscribed", "subscribed", "bounced"]
    assert [each[("email", "service")] for each in told][-2:] == ["no_opt_in_needed", "bounced"]


def test_consents_of_a_day_are_told_from_their_history(
    story: Story,
) -> None:
    home = story.home
    rows = query(
        home.warehouse,
        "select status, source, valid_from, valid_to from profile.consent_history "
        "where contact_point = ? and channel = 'email' and purpose = 'marketing' order by 3",
        [ANNA],
    )
    assert rows == [
        ("subscribed", "preference_centre", DAYS[0], DAYS[1]),
        ("unsubscribed", "klaviyo", DAYS[1], DAYS[3]),
        ("subscribed", "preference_centre", DAYS[3], None),
    ]


def test_only_customers_whom_something_new_is_known_of_are_worked_out(story: Story) -> None:
    home = story.home
    anna, other = ([customer_of(home, each, on) for on in DAYS] for each in (ANNA, OTHER))
    assert [other[number] in changed for number, changed in enumerate(story.changed)] == [
        True,
        *[False] * 4,
    ]
    assert all(anna[number] in changed for number, changed in enumerate(story.changed))
    assert query(home.warehouse, "select count(*) from profile.customers") == [(3,)]


def test_a_file_taken_back_after_a_build_that_died_leaves_nothing(story: Story) -> None:
    assert golden_name(story.home, OTHER) == "Olga"


def test_a_full_refresh_tells_the_same_of_now_and_of_all_days(dbt: Dbt, story: Story) -> None:
    home = story.home
    before, now = histories(home), kept_up_to_date(home)
    assert all(before) and all(now.values())
    dbt.build(home, SELECT, "--full-refresh", as_of=DAYS[-1])
    assert histories(home) == before
    assert kept_up_to_date(home) == now


def test_what_a_source_deleted_it_says_no_more(story: Story) -> None:
    rows = query(
        story.home.warehouse,
        "select record_source, email from identity.int_identity__contacts_of_sources "
        "where record_key in ('k1', 'k2')",
    )
    assert rows == [("klaviyo", ANNA)]


def test_tables_made_of_no_rows_are_made_anew(dbt: Dbt, story: Story) -> None:
    contacts = ["int_identity__contacts_of_sources"]
    before = kept_up_to_date(story.home)
    dbt.build(story.home, contacts, "--empty", "--full-refresh", as_of=DAYS[-1])
    assert query(story.home.warehouse, f"select * from {KEPT_UP_TO_DATE[0]}") == []
    dbt.build(story.home, contacts, as_of=DAYS[-1])
    assert kept_up_to_date(story.home) == before


def test_a_changed_rule_is_previewed_and_the_build_then_does_just_that(tmp_path: Path) -> None:
    home, project = make_home(tmp_path / "home"), copy_project(tmp_path)
    at = "2026-10-01 10:00:00"
    put(
        home,
        "shopify/customer",
        "a.csv",
        [
            account("1", at, email=ANNA, first_name="Anna", last_name="Tran"),
            account("2", at, email=GUEST, first_name="Mona", last_name="Li"),
        ],
    )
    put(
        home,
        "shopify/order",
        "a.csv",
        [
            order(
                "o1",
                customer_id="1",
                billing_address_first_name="Annie",
                billing_address_last_name="Tran",
            )
        ],
    )
    dbt = Dbt(home, project)
    select = ("+customers", "+customer_attributes", "+identity_redirects")
    dbt.build(home, select)
    begin_build(home)
    end_build(home)
    seed = project / "seeds/survivorship_rules.csv"
    seed.write_text(
        seed.read_text()
        .replace("name,shopify,1,", "name,shopify,2,")
        .replace("name,shopify_order,2,", "name,shopify_order,1,")
    )
    before = home.warehouse.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.project.PROJECT", project)
        command = ["--home", str(home.root), "plan", "--profile"]
        told = CliRunner().invoke(main, [*command, "--json", "--unmask", "a test"])
        masked = CliRunner().invoke(main, command)
    assert told.exit_code == 0, told.output
    assert home.warehouse.read_bytes() == before, "nothing live is written"
    plan = json.loads(told.stdout)
    assert plan["counts"] == {"customers": 2, "customers_changed": 1, "name": 1}
    (field,) = plan["samples"]["fields"]
    assert (field["was"], field["would_be"]) == ("Anna, Tran", "Annie, Tran")
    assert (field["was_said_by"], field["would_be_said_by"]) == ("shopify", "shopify_order")
    assert "Annie, Tran" not in masked.stdout and "1 of 2" in masked.stdout
    dbt.build(home, select, *AGAIN[1:])
    names = query(
        home.warehouse,
        "select first_name, name_source, name_record_key from profile.customers order by 1",
    )
    assert names == [("Annie", "shopify_order", "o1"), ("Mona", "shopify", "2")]


def test_a_source_named_twice_for_a_group_fails_the_build_and_an_unknown_purpose_is_rejected(
    tmp_path: Path,
) -> None:
    home, project = make_home(tmp_path / "home"), copy_project(tmp_path)
    put(
        home,
        "consent/consent_events",
        "a.csv",
        [consent("1", ANNA, "subscribed", "2026-10-01 10:00:00") | {"purpose": "world peace"}],
    )
    land_waiting(home, AS_OF, project)
    seed = project / "seeds/survivorship_rules.csv"
    seed.write_text(seed.read_text() + "name,shopify,7,Twice\n")
    dbt = Dbt(home, project)
    with pytest.raises(CdpError, match="survivorship_rules"):
        dbt.invoke(home, AS_OF, ["build", "--select", "survivorship_rules"])
    (rejected,) = query(home.warehouse, "select * from raw_consent.consent_events__rejected")
    assert any("purpose" in str(value) for value in rejected), rejected


MUTATIONS = {
    "whoever's contact point": ("on members.customer_id = permissions.customer_id", "on true"),
    "another channel's yes": ("where channel = '{{ channel }}' and purpose = '{{ purpose }}'", ""),
    "a point though it is not permitted": (
        "case when permissions.is_permitted then permissions.contact_point end as contact_point",
        "permissions.contact_point",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_sync_that_goes_past_the_gate_turns_the_check_red(
    sample_home: Home, copy_home: Callable[[Home], Home], tmp_path: Path, mutation: str
) -> None:
    home, project = copy_home(sample_home), copy_project(tmp_path)
    macro = project / "macros/rules/permitted_members.sql"
    condition, instead = MUTATIONS[mutation]
    assert macro.read_text().count(condition) == 1
    macro.write_text(macro.read_text().replace(condition, instead))
    dbt = Dbt(home, project)
    with pytest.raises(CdpError, match="every_sync_row_has_consent"):
        dbt.invoke(
            home,
            AS_OF,
            [
                *("build", "--select", "path:models/activation", "every_sync_row_has_consent"),
                *("--exclude-resource-type", "unit_test"),
                *QUICK,
            ],
        )
