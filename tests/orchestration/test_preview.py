"""What changed rules would do to customers: told before it is done, and nothing live is touched."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import AGAIN, AS_OF, PROJECT, Dbt, account, copy_project, make_home, put, query
from test_lock import another_holder

from orchestration.build_state import begin_build, end_build
from orchestration.cli import main
from orchestration.errors import CdpError, LockHeld
from orchestration.home import Home
from orchestration.preview import IDENTITY, preview_identity
from orchestration.syncs.ledger import Ledger

SELECT = ("+identity_redirects", "+record_customers", "identity_edges", "identity_quarantine")
AT = "2026-10-20 10:00:00"
PHONE = "+447911000111"
Samples = dict[str, list[dict[str, Any]]]


def order(number: str, **given: str) -> dict[str, str]:
    return {
        "id": number,
        "customer_id": "",
        "email": "",
        "billing_address_phone": "",
        "billing_address_country_code": "GB",
        "currency": "GBP",
        "total_price": "10",
        "created_at": AT,
        "updated_at": AT,
        **given,
    }


def block(project: Path, address: str) -> None:
    """Add a row to the seed, and take back what an earlier call added."""
    seed = project / "seeds/blocked_identifiers.csv"
    rows = (PROJECT / "seeds/blocked_identifiers.csv").read_text()
    seed.write_text(f"{rows.rstrip()}\nemail,{address},exact,true,A test's rule\n")


def hashes(home: Home) -> dict[str, str]:
    """Every file of the home but its lock, which is empty when nobody holds it."""
    return {
        str(path.relative_to(home.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.root.rglob("*"))
        if path.is_file() and path.relative_to(home.root).parts[0] not in ("tmp", "cdp.lock")
    }


def leftovers(home: Home) -> list[str]:
    folder = home.scratch / "preview"
    return [path.name for path in folder.iterdir() if path.name != "cdp.lock"]


def events(home: Home, build: int) -> list[tuple[Any, ...]]:
    return query(
        home.warehouse,
        "select event_type, customer_id, other_customer_id, node_count "
        f"from identity.identity_events where build_number = {build} order by all",
    )


def records(home: Home) -> dict[str, str]:
    statement = "select record_key, customer_id from identity.record_customers"
    return dict(query(home.warehouse, statement))


@dataclass(frozen=True)
class Story:
    """A home before and after a changed seed, and what was said of it between the two."""

    project: Path
    home: Home
    counts: dict[str, int | float]
    samples: Samples
    told: str
    before: dict[str, str]
    after: dict[str, str]
    records_before: dict[str, str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("preview")
    project = copy_project(root)
    home = make_home(root / "home")
    put(home, "shopify/customer", "accounts.csv", [account("acc", AT, email="acc@example.com")])
    put(
        home,
        "shopify/order",
        "orders.csv",
        [
            order("o1", email="mona@example.com", billing_address_phone=PHONE),
            order("o2", email="mona@example.com", customer_id="acc"),
            order("o3", email="crew@firm.example", billing_address_phone="+447911000222"),
            order("o4", email="crew@firm.example", billing_address_phone="+447911000333"),
            order("o5", email="alone@example.com"),
        ],
    )
    dbt = Dbt(home, project)
    block(project, "crew@firm.example")
    dbt.build(home, SELECT)
    # Stand-ins: a preview has no business with any of them.
    for path in (home.private_file, home.cdp_file, home.ops_file):
        path.write_bytes(path.name.encode())
    with Ledger.open(home):
        pass
    (home.scratch / "preview/home/published").mkdir(parents=True)
    (home.scratch / "preview/home/warehouse.duckdb").write_text("left by one that was killed")
    before, records_before = hashes(home), records(home)
    block(project, "mona@example.com")
    seen: list[tuple[dict[str, int | float], Samples]] = []

    def compare_twice(folder: Path, limit: int, unmask: bool) -> Any:
        """What the command shows is masked; the tests want to know of whom it speaks."""
        seen.append(IDENTITY.compare(folder, limit, True))
        return IDENTITY.compare(folder, limit, unmask)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.project.PROJECT", project)
        twice = replace(IDENTITY, compare=compare_twice)
        patch.setattr("orchestration.preview.IDENTITY", twice)
        told = CliRunner().invoke(main, ["--home", str(home.root), "plan", "--identity"])
    after = hashes(home)
    assert told.exit_code == 0, told.output
    dbt.build(home, SELECT, *AGAIN[1:])
    return Story(project, home, *seen[0], told.output, before, after, records_before)


def test_nothing_live_is_changed_by_a_byte(story: Story) -> None:
    names = ("warehouse.duckdb", "published/private.duckdb", "state/activation.sqlite")
    assert set(names) <= set(story.before)
    assert story.after == story.before
    assert leftovers(story.home) == []


def test_what_is_listed_is_what_the_build_then_does(story: Story) -> None:
    done = events(story.home, 2)
    counts = story.counts
    kinds = Counter(row[0] for row in done)
    assert kinds == {"merge": 1, "split": 1}
    assert {name: counts[name] for name in kinds} == kinds
    assert not any(counts[name] for name in ("restore", "move", "retire", "create", "reanchor"))
    listed = [
        *(
            ("merge", one, row["survivor"], None)
            for row in story.samples["merges"]
            for one in row["merged"]
        ),
        *(
            ("split", row["apart"], row["customer"], row["identifiers"])
            for row in story.samples["splits"]
        ),
    ]
    assert listed == done


def test_records_and_identifiers_are_counted_as_the_build_leaves_them(story: Story) -> None:
    now = records(story.home)
    both = [key for key in story.records_before if key in now]
    moved = [key for key in both if story.records_before[key] != now[key]]
    counts = story.counts
    assert (counts["records_compared"], counts["records_renumbered"]) == (len(both), len(moved))
    assert moved and counts["renumbered_share"] == pytest.approx(len(moved) / len(both), abs=1e-6)
    active = "select count(*) from identity.identity_registry where status = 'active'"
    assert counts["customers_after"] == query(story.home.warehouse, active)[0][0]
    assert counts["customers_before"] == len(set(story.records_before.values()))
    largest = "select max(component_size) from identity.identity_components"
    assert counts["largest_after"] == query(story.home.warehouse, largest)[0][0]
    assert (counts["largest_before"], counts["quarantined"], counts["released"]) == (4, 1, 1)


def test_samples_name_customers_by_what_people_know(story: Story) -> None:
    (merge,) = story.samples["merges"]
    assert {*merge["survivor_known_by"], *merge["merged_known_by"]} == {
        "phone +447911000222",
        "phone +447911000333",
    }
    (split,) = story.samples["splits"]
    assert split["apart_known_by"] == [f"phone {PHONE}"]
    assert split["customer_known_by"] == ["email acc@example.com", "shopify_customer_id acc"]
    assert story.samples["quarantined"] == [
        {"reason": "junk_value", "identifier": "email mona@example.com"}
    ]
    assert story.samples["released"] == [
        {"reason": "junk_value", "identifier": "email crew@firm.example"}
    ]


def test_personal_values_are_masked_unless_asked_for(story: Story) -> None:
    assert "email m…@example.com" in story.told and "phone +44…11" in story.told
    for value in ("mona@", "acc@", PHONE, "crew@"):
        assert value not in story.told
    assert "--unmask" in story.told


def test_rules_as_they_are_change_nobody(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(shutil.copytree(story.home.root, tmp_path / "home"))
    monkeypatch.setattr("orchestration.project.PROJECT", story.project)
    put(home, "shopify/order", "waits.csv", [order("o6", email="new@example.com")])
    found = preview_identity(home, AS_OF + timedelta(days=1), limit=0)
    changed = {
        name: count
        for name, count in found.counts.items()
        if count and not name.startswith(("customers", "largest", "records_compared"))
    }
    assert changed == {}
    assert [found.counts[f"customers_{moment}"] for moment in ("before", "after")] == [4, 4]
    assert not any(found.samples.values())
    told = " ".join(found.notes)
    assert "The last build was as of 2026-11-01" in told and "1 files wait" in told
    json.dumps(found.as_dict(), default=str)


def test_a_build_that_fails_or_is_stopped_leaves_no_copy(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashes(story.home)

    def fails(fault: type[BaseException]) -> None:
        def run(home: Home, *_: object, **__: object) -> str:
            assert home.warehouse.exists()
            raise fault("stopped")

        monkeypatch.setattr("orchestration.preview.run_dbt", run)
        with pytest.raises(fault, match="stopped"):
            preview_identity(story.home, AS_OF)
        assert leftovers(story.home) == []

    fails(CdpError)
    fails(KeyboardInterrupt)
    assert hashes(story.home) == before


def test_what_cannot_be_previewed_says_why(story: Story, empty_home: Home) -> None:
    for home in (empty_home, Home(empty_home.root / "nowhere")):
        with pytest.raises(CdpError, match=r"no finished build to compare with: `cdp run` first"):
            preview_identity(home, AS_OF)
    with pytest.raises(CdpError, match=r"set CDP_AS_OF_DATE to 2026-11-01 or later"):
        preview_identity(story.home, AS_OF - timedelta(days=1))
    begin_build(story.home)
    with pytest.raises(CdpError, match="did not finish"):
        preview_identity(story.home, AS_OF)
    end_build(story.home)
    with another_holder(story.home, 60), pytest.raises(LockHeld):
        preview_identity(story.home, AS_OF)
    preview = Home(story.home.scratch / "preview")
    with another_holder(preview, 60), pytest.raises(LockHeld):
        preview_identity(story.home, AS_OF)


def test_plan_says_what_it_can_plan(empty_home: Home) -> None:
    ended = CliRunner().invoke(main, ["--home", str(empty_home.root), "plan"])
    assert ended.exit_code == 0
    assert "--identity" in ended.output and "cdp sync plan" in ended.output
