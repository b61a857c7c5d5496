"""Looking people up: one customer's card, and why two identifiers are one customer or two."""

import json
from typing import Any

import pytest
from support import query

from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.lookup import (
    bridge_edges,
    explain,
    masked,
    match_candidates,
    read_identity,
    read_profile,
)

BUYER = """
select customers.customer_id
from profile.customers
inner join metrics.customer_metrics using (customer_id)
inner join (
    select customer_id from profile.customer_identifiers group by 1
    having count(distinct identifier_type) >= 4
) as known using (customer_id)
where customers.email is not null and customers.phone is not null
    and customers.first_name is not null and length(customers.address_line) > 3
    and customer_metrics.order_count >= 2
order by 1 limit 1
"""


@pytest.fixture(scope="module")
def buyer(sample_home: Home) -> str:
    """A customer with several kinds of identifiers, an address and orders."""
    found: str = query(sample_home.private_file, BUYER)[0][0]
    return found


def identifiers_of(home: Home, customer: str) -> list[tuple[str, str]]:
    return query(
        home.private_file,
        "select identifier_type, identifier_value from profile.customer_identifiers "
        "where customer_id = ?",
        [customer],
    )


def personal_values(home: Home, customer: str) -> set[str]:
    golden = query(
        home.private_file,
        "select email, phone, first_name, last_name, address_line, city, postal_code, "
        "cast(birth_date as varchar) from profile.customers where customer_id = ?",
        [customer],
    )[0]
    values = {value for value in golden if value and len(value) > 1}
    return values | {value for _, value in identifiers_of(home, customer)}


def test_every_identifier_of_a_customer_leads_to_the_same_card(
    sample_home: Home, buyer: str
) -> None:
    found = identifiers_of(sample_home, buyer)
    assert len({kind for kind, _ in found}) >= 4
    for kind, value in found:
        assert read_profile(sample_home, value)["customer_id"] == buyer, kind
    assert read_profile(sample_home, buyer)["customer_id"] == buyer


def test_an_address_is_found_however_it_is_typed(sample_home: Home, buyer: str) -> None:
    email = next(value for kind, value in identifiers_of(sample_home, buyer) if kind == "email")
    assert read_profile(sample_home, f"  {email.upper()} ")["customer_id"] == buyer


def test_a_card_is_masked_unless_asked_otherwise(sample_home: Home, buyer: str) -> None:
    values = personal_values(sample_home, buyer)
    shown = json.dumps(read_profile(sample_home, buyer), default=str, ensure_ascii=False)
    cells = set(shown.split('"'))
    assert values.isdisjoint(cells)
    assert not [value for value in values if len(value) > 7 and value in shown]
    card = read_profile(sample_home, buyer, unmask=True)
    unmasked = json.dumps(card, default=str, ensure_ascii=False)
    assert not [value for value in values if value not in unmasked]


def test_a_card_has_every_part(sample_home: Home, buyer: str) -> None:
    card = read_profile(sample_home, buyer)
    assert set(card) == {
        "customer_id", "golden_record", "metrics", "identifiers", "permissions", "audiences",
        "orders", "channels", "timeline", "attributes", "contact_points", "household_size",
    }  # fmt: skip
    assert card["orders"] and card["timeline"] and card["permissions"]
    assert {"channel", "purpose", "is_permitted", "reason"} <= set(card["permissions"][0])
    assert {"name", "email"} <= {row["known"] for row in card["attributes"]}
    assert all(row["said_by"] and row["won_by"] for row in card["attributes"])
    times = [row["occurred_at"] for row in card["timeline"]]
    assert times == sorted(times, reverse=True)


def test_an_unknown_identifier_is_an_error_that_says_what_to_give(sample_home: Home) -> None:
    with pytest.raises(CdpError, match=r"No customer has this identifier\. Give an e-mail"):
        read_profile(sample_home, "nobody@nowhere.example")


def test_a_refused_identifier_is_said_to_be_in_quarantine(sample_home: Home) -> None:
    junk = query(
        sample_home.private_file,
        "select min(identifier_value) from identity.identifiers where status_reason = 'junk_value'",
    )[0][0]
    with pytest.raises(CdpError, match=r"quarantine \(junk_value\)"):
        read_profile(sample_home, junk)


def test_nothing_published_is_an_error_that_says_what_to_run(empty_home: Home) -> None:
    with pytest.raises(CdpError, match="run `cdp run`"):
        read_profile(empty_home, "anybody")


def test_two_identifiers_of_one_customer_are_explained_by_evidence(
    sample_home: Home, buyer: str
) -> None:
    found = identifiers_of(sample_home, buyer)
    first, last = found[0][1], found[-1][1]
    told = explain(sample_home, first, last, unmask=True)
    assert told["is_linked"] and told["steps"]
    assert told["steps"][0]["from"].endswith(first) and told["steps"][-1]["to"].endswith(last)
    for before, after in zip(told["steps"], told["steps"][1:], strict=False):
        assert before["to"] == after["from"]
    assert {step["status"] for step in told["steps"]} == {"active"}
    assert all(step["records"] >= 1 and "." in step["rule"] for step in told["steps"])


def test_identifiers_kept_apart_are_explained_by_what_stopped_the_evidence(
    sample_home: Home,
) -> None:
    # Two accounts of one family, by the edges of their phone, which met two given names.
    pairs = query(
        sample_home.private_file,
        "select min(names.identifier_value), max(names.identifier_value) "
        "from identity.identity_edges as edges "
        "inner join identity.identifiers as names on names.node_key in (node_a, node_b) "
        "and names.node_key <> weaker_node_key "
        "where edges.status_reason = 'many_names' "
        "and names.identifier_type = 'shopify_customer_id' "
        "group by weaker_node_key having count(distinct names.node_key) = 2 "
        "order by weaker_node_key limit 1",
    )
    told = explain(sample_home, *pairs[0])
    assert not told["is_linked"]
    assert [step["status"] for step in told["steps"]] == ["quarantined", "quarantined"]
    (reason,) = {step["reason"] for step in told["steps"]}
    assert reason == "met more unlike given names than max_given_names of its type"
    assert told["cause"].startswith("phone +") and f"is quarantined: {reason}" in told["cause"]


def test_a_refused_edge_names_the_limit_that_refused_it(sample_home: Home) -> None:
    ends = query(
        sample_home.private_file,
        "select names_a.identifier_value, names_b.identifier_value, limit_type "
        "from identity.identity_edges "
        "inner join identity.identifiers as names_a on names_a.node_key = node_a "
        "inner join identity.identifiers as names_b on names_b.node_key = node_b "
        "where identity_edges.status = 'refused' "
        "and identity_edges.status_reason = 'unique_type_conflict' order by node_a, node_b limit 1",
    )[0]
    told = explain(sample_home, ends[0], ends[1])
    assert not told["is_linked"] and "is refused: one customer would have" in told["cause"]
    assert f"values of {ends[2]}; max_per_customer is 1" in told["cause"]


def test_strangers_have_no_path(sample_home: Home) -> None:
    strangers = query(
        sample_home.private_file,
        "select min(identifier_value) from profile.customer_identifiers "
        "where identifier_type = 'anonymous_id' and customer_id in "
        "(select customer_id from profile.customers where not is_identified) "
        "group by customer_id order by 1 limit 2",
    )
    assert explain(sample_home, strangers[0][0], strangers[1][0]) == {
        "is_linked": False,
        "cause": "no evidence joins them",
        "steps": [],
        "quarantined": [],
    }


def test_an_explanation_shows_no_personal_value_unless_asked(sample_home: Home, buyer: str) -> None:
    found = identifiers_of(sample_home, buyer)
    told = str(explain(sample_home, found[0][1], found[-1][1]))
    assert not [value for _, value in found if "@" in value and value in told]


def test_a_blocked_value_is_explained_by_its_quarantine(sample_home: Home) -> None:
    blocked = query(
        sample_home.private_file,
        "select identifier_value from identity.identifiers "
        "where status_reason = 'junk_value' order by 1 limit 1",
    )[0][0]
    known = query(
        sample_home.private_file,
        "select min(identifier_value) from profile.customer_identifiers "
        "where identifier_type = 'shopify_customer_id'",
    )[0][0]
    told = explain(sample_home, blocked, known)
    assert not told["is_linked"]
    assert [row["reason"] for row in told["quarantined"]] == ["junk_value"]


def test_a_customers_identity_is_told_as_a_card(sample_home: Home, buyer: str) -> None:
    found = identifiers_of(sample_home, buyer)
    card = read_identity(sample_home, found[0][1], unmask=True)
    assert card["customer_id"] == buyer
    assert card["card"]["identifier_count"] == len(card["identifiers"]) == len(found)
    assert sum(row["records"] for row in card["sources"]) == card["card"]["record_count"]
    assert card["weakest_link"]["tier"] == card["card"]["weakest_tier"]
    assert card["history"][0]["event_type"] == "create"
    masked_card = str(read_identity(sample_home, buyer))
    assert not [value for _, value in found if "@" in value and value in masked_card]


@pytest.mark.parametrize(
    ("pairs", "bridges"),
    [
        ([(1, 2), (2, 3), (1, 3)], {}),
        ([(1, 2), (2, 3), (1, 3), (3, 4), (4, 5), (5, 6), (4, 6)], {(3, 4): 3}),
        ([(1, 2), (2, 3)], {(1, 2): 1, (2, 3): 1}),
        ([(1, 2), (1, 2)], {(1, 2): 1}),
        ([], {}),
    ],
)
def test_bridges_are_the_edges_without_which_it_would_be_two(
    pairs: list[tuple[int, int]], bridges: dict[tuple[int, int], int]
) -> None:
    assert {pair: parts for pair, parts in bridge_edges(pairs).items() if parts} == bridges


def test_bridges_of_a_long_chain_are_found_without_recursion() -> None:
    cut = bridge_edges([(node, node + 1) for node in range(20_000)])
    assert cut[(9_999, 10_000)] == 10_000 and min(cut.values()) == 1


def test_candidates_of_matching_are_listed_masked(sample_home: Home) -> None:
    for row in match_candidates(sample_home, 50):
        assert "@" not in row["identifier_value"] or "…" in row["identifier_value"]
        assert row["decision"] != "joined by an identifier"


def test_explaining_an_unknown_identifier_names_it_masked(sample_home: Home) -> None:
    with pytest.raises(CdpError, match=r"No source ever named 'n…@nowhere\.example'") as caught:
        explain(sample_home, "nobody@nowhere.example", "x")
    assert "nobody" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("linh@example.com", "l…@example.com"),
        ("+447911123456", "+44…56"),
        ("Linh", "L…"),
        ("", ""),
        (None, None),
        (5, 5),
    ],
)
def test_masking_keeps_enough_to_recognise(value: Any, shown: Any) -> None:
    assert masked(value) == shown
