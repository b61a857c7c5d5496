"""The whole way on a sample company: from landed files to what left, and the day after."""

import csv
import hashlib
import json
import mailbox
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
from support import AS_OF, CHANGED_MIND, OPTED_IN, PEOPLE, PROJECT, cdp, query

from orchestration.home import Home
from orchestration.landing import load_declarations
from orchestration.summary import summarise

# What the sample's people do; two of them happen on a site, the rest elsewhere.
CHANNELS = {
    "web", "app", "store", "email", "line", "social", "service", "phone", "crm", "survey", "ads",
    "loyalty", "subscription", "invoice",
}  # fmt: skip
EMAIL, DROP = "sync_email__welcome", "sync_csv_drop__lapsing_high_value"


def seed(name: str, column: str) -> set[str]:
    with (PROJECT / "seeds" / f"{name}.csv").open(encoding="utf-8") as file:
        return {row[column] for row in csv.DictReader(file)}


def ops(home: Home, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{home.ops_file}' as exported (read_only)")
        return connection.execute(statement).fetchall()


def recipients(home: Home) -> Counter[str]:
    box = mailbox.Maildir(home.outbox / "maildir", create=False)
    return Counter(str(message["X-RcptTo"]) for message in box)


def permitted(home: Home) -> set[str]:
    rows = query(
        home.private_file,
        "select contact_point from profile.contact_permissions "
        "where channel = 'email' and purpose = 'marketing' and is_permitted",
    )
    return {row[0] for row in rows}


def drop(home: Home) -> tuple[dict[str, Any], list[dict[str, str]], list[dict[str, str]]]:
    """The CSV drop's manifest, its members and its last changes."""
    folder = home.outbox / "lapsing_high_value"
    told: dict[str, Any] = json.loads((folder / "manifest.json").read_text())

    def rows(part: str) -> list[dict[str, str]]:
        with (folder / told[part]["file"]).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return told, rows("members"), rows("changes")


def test_the_summary_has_every_number_a_person_asks_for(sample_home: Home) -> None:
    told = summarise(sample_home)
    assert told["as_of_date"] == AS_OF.isoformat()
    assert {row["source"] for row in told["rows"]} == set(load_declarations(PROJECT))
    for row in told["rows"]:
        assert row["landed"] == row["loaded"] + row["rejected"] + row["duplicate"] > 0
    assert told["customers"].keys() == {"identified", "anonymous"}
    assert told["identity"]["people"] > 0.8 * PEOPLE
    assert abs(sum(told["customers"].values()) / told["identity"]["people_found"] - 1) < 0.25
    assert set(told["rfm_segments"]) <= seed("rfm_segments", "rfm_segment")
    assert len(told["rfm_segments"]) >= 6
    assert set(told["journey_stages"]) <= seed("journey_stages", "journey_stage")
    assert sum(told["journey_stages"].values()) == sum(told["customers"].values())
    assert set(told["audiences"]) == seed("audiences", "audience")
    assert all(told["audiences"].values()), "the sample has members for every audience"
    assert {row["sync"]: row["status"] for row in told["syncs"]} == {
        EMAIL: "succeeded",
        DROP: "succeeded",
    }
    assert set(told["withheld"]) == {EMAIL, DROP} and told["withheld"][DROP]
    assert set(told["interactions"]) >= CHANNELS
    assert {"spring", "gifts"} <= {row["campaign"] for row in told["campaigns"] if row["spend"]}
    json.dumps(told)


def test_one_customers_timeline_spans_the_channels(sample_home: Home) -> None:
    example = summarise(sample_home)["example"]
    assert example["channels"] == len(example["timeline"]) >= 8
    assert example["interactions"] == sum(row["count"] for row in example["timeline"])
    assert {"name", "email", "phone"} <= {row["known"] for row in example["attributes"]}
    assert all(row["said_by"] and row["won_by"] for row in example["attributes"])
    assert all("@" not in row["value"] or "…" in row["value"] for row in example["attributes"])
    assert example["contact_points"] and example["permissions"]
    told = cdp(sample_home, "profile", example["identifier"], "--json")
    card = json.loads(told.stdout)
    assert {row["channel"] for row in card["channels"]} == {
        row["channel"] for row in example["timeline"]
    }
    times = [row["occurred_at"] for row in card["timeline"]]
    assert len(times) == 20 and times == sorted(times, reverse=True)


def test_every_declared_table_exists_and_every_landed_row_is_accounted_for(
    sample_home: Home,
) -> None:
    for source in load_declarations(PROJECT).values():
        for table in source.tables.values():
            place = f'"raw_{source.name}"."{table.name}"'
            columns = {row[0] for row in query(sample_home.warehouse, f"describe {place}")}
            assert {"_file", "_row", "_loaded_at", "_landed_as_of"} <= columns
    unaccounted = query(
        sample_home.warehouse,
        "select count(*) from raw_landing.loads "
        "where landed_count <> loaded_count + rejected_count + duplicate_count",
    )
    assert unaccounted == [(0,)]


def test_every_planned_change_has_an_end(sample_home: Home) -> None:
    rows = ops(
        sample_home,
        "select sync, state, count(*) from exported.ops.sync_log group by all",
    )
    assert {state for _, state, _ in rows} <= {"acked", "withheld"}
    runs = ops(
        sample_home,
        "select sync, n_insert + n_update + n_delete, n_acked + n_rejected + n_withheld "
        "+ n_invalid + n_deferred + n_unknown + n_superseded + n_dead from exported.ops.sync_runs",
    )
    assert len(runs) == 2 and all(planned == ended > 0 for _, planned, ended in runs)


def test_mail_went_once_to_each_permitted_member_and_to_nobody_else(sample_home: Home) -> None:
    sent = recipients(sample_home)
    acked = ops(sample_home, f"select n_acked from exported.ops.sync_runs where sync = '{EMAIL}'")
    assert sum(sent.values()) == acked[0][0] > 0
    assert set(sent.values()) == {1}
    assert set(sent) <= permitted(sample_home)
    payload = query(
        sample_home.private_file,
        f'select contact_point from activation."{EMAIL}" where is_permitted',
    )
    assert set(sent) == {row[0] for row in payload}


def test_the_csv_drop_holds_exactly_the_permitted_members(sample_home: Home) -> None:
    told, members, changes = drop(sample_home)
    payload = query(
        sample_home.private_file,
        f'select customer_id, contact_point from activation."{DROP}" where is_permitted',
    )
    assert {(row["customer_id"], row["email"]) for row in members} == set(payload)
    assert {row["email"] for row in members} <= permitted(sample_home)
    assert [row["operation"] for row in changes] == ["upsert"] * len(members)
    assert told["members"]["rows"] == len(members) > 1


def test_the_manifest_of_the_csv_drop_matches_its_files(sample_home: Home, second_day: Any) -> None:
    for home in (sample_home, second_day.home):
        told, members, changes = drop(home)
        for part, rows in (("members", members), ("changes", changes)):
            content = (home.outbox / "lapsing_high_value" / told[part]["file"]).read_bytes()
            assert told[part]["sha256"] == hashlib.sha256(content).hexdigest()
            assert told[part]["bytes"] == len(content)
            assert told[part]["rows"] == len(rows)


def test_a_second_run_sends_nothing_and_is_skipped(skipped_run: Any, sample_home: Home) -> None:
    assert json.loads(skipped_run.ended.stdout)["was_built"] is False
    assert recipients(skipped_run.home) == recipients(sample_home)
    assert drop(skipped_run.home) == drop(sample_home)
    assert ops(skipped_run.home, "select count(*) from exported.ops.sync_runs") == [(2,)]


def test_a_new_file_leads_to_a_build_that_says_why(second_day: Any) -> None:
    assert second_day.told["was_built"] is True
    assert second_day.told["reason"] == "2 files wait in the landing folder"
    assert second_day.told["dagster_run_id"]


def test_who_withdraws_leaves_the_csv_drop(second_day: Any, sample_home: Home) -> None:
    _, before, _ = drop(sample_home)
    _, members, changes = drop(second_day.home)
    gone = next(row for row in before if row["email"] == second_day.withdrawn_email)
    assert second_day.withdrawn_email not in {row["email"] for row in members}
    removed = [row for row in changes if row["operation"] == "delete"]
    assert gone["customer_id"] in {row["customer_id"] for row in removed}
    assert not any(row["email"] for row in removed), "a removal repeats nothing about a person"
    assert second_day.withdrawn_email not in permitted(second_day.home)
    reason = query(
        second_day.home.private_file,
        "select is_permitted, reason from profile.contact_permissions where contact_point = ? "
        "and channel = 'email' and purpose = 'marketing'",
        [second_day.withdrawn_email],
    )
    assert reason == [(False, "unsubscribed")]
    withheld = query(
        second_day.home.private_file,
        f'select contact_point, withheld_reason from activation."{DROP}" where customer_id = ?',
        [gone["customer_id"]],
    )
    assert withheld in ([], [(None, "unsubscribed")])


def test_only_who_opted_in_is_mailed_and_nobody_twice(second_day: Any, sample_home: Home) -> None:
    before, after = recipients(sample_home), recipients(second_day.home)
    assert after[OPTED_IN] == 1
    assert CHANGED_MIND not in after
    assert set(after.values()) == {1}
    assert set(after - before) <= permitted(second_day.home)
    assert before <= after


def test_a_bad_row_is_kept_aside_with_its_place_and_rule(second_day: Any) -> None:
    rejected = query(
        second_day.home.warehouse,
        "select _file, _row, column_name, rule, message from raw_consent.consent_events__rejected "
        "where _file like '%2026-11-02.csv'",
    )
    assert len(rejected) == 1
    assert rejected[0][:4] == (
        "consent_events/consent_events_2026-11-02.csv", 5, "status", "accepted_values",
    )  # fmt: skip
    assert "'perhaps'" in rejected[0][4]


def test_ids_stay_from_day_to_day(second_day: Any, sample_home: Home) -> None:
    statement = (
        "select identifier_type, identifier_value, customer_id from identity.identity_map "
        "where is_current"
    )
    before = set(query(sample_home.private_file, statement))
    after = set(query(second_day.home.private_file, statement))
    assert len(before - after) < 0.01 * len(before), "only expiry takes identifiers away"
    new = {value for _, value, _ in after - before}
    assert new == {"day2-1", "day2-2", OPTED_IN, CHANGED_MIND}


def test_nothing_is_left_in_the_landing_folder(sample_home: Home) -> None:
    assert [path for path in sample_home.landing.rglob("*") if path.is_file()] == []
    archived = [path for path in Path(sample_home.archive).rglob("*") if path.is_file()]
    assert len(archived) > 100
