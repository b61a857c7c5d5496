"""The command line: help, exit codes, messages without tracebacks, JSON for programs."""

import json
import stat
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner
from support import AS_OF, cdp, query

from orchestration.cli import main
from orchestration.home import Home, as_of_date, read_secret


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


EVERY_COMMAND = sorted(commands(main))
PROMISED = {
    ("demo",), ("run",), ("land",), ("profile",), ("explain",), ("publish",), ("doctor",),
    ("sync", "plan"), ("sync", "run"), ("sync", "status"),
}  # fmt: skip


def invoke(home: Home, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["--home", str(home.root), *arguments])


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        told = CliRunner().invoke(main, [*path, option])
        assert told.exit_code == 0, told.output
        described = told.output.split("\n", 2)[2]
        assert "Usage: " in told.output and len(described.strip()) > 40


def test_the_promised_commands_exist() -> None:
    assert set(EVERY_COMMAND) >= PROMISED


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2


def test_an_unknown_identifier_exits_with_a_remedy_and_no_traceback(sample_home: Home) -> None:
    ended = cdp(sample_home, "profile", "nobody@nowhere.example")
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("cdp: No customer has this identifier. Give an e-mail")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("profile", "x"), "run `cdp run`"),
        (("explain", "x", "y"), "run `cdp run`"),
        (("land", "--source", "nowhere"), "Declared: "),
        (("publish",), "run `cdp run` first"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_fault_names_its_remedy(
    empty_home: Home, arguments: tuple[str, ...], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDP_AS_OF_DATE", AS_OF.isoformat())
    told = invoke(empty_home, *arguments)
    assert told.exit_code == 1
    assert remedy in told.stderr


def test_an_unreadable_date_is_refused(empty_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDP_AS_OF_DATE", "1.11.2026")
    told = invoke(empty_home, "run")
    assert told.exit_code == 1
    assert "write it as a date, for example 2026-11-01" in told.stderr


def test_a_card_is_printed_masked_and_unmasked_with_a_reason_that_is_logged(
    sample_home: Home, copy_home: Callable[[Home], Home]
) -> None:
    email = query(
        sample_home.private_file,
        "select min(email) from profile.customers where email like '%@example.com'",
    )[0][0]
    masked = invoke(sample_home, "profile", email)
    assert masked.exit_code == 0 and email not in masked.stdout
    assert "--unmask REASON shows them" in masked.stderr
    assert "Golden record: what is known and who says so" in masked.stdout
    home = copy_home(sample_home)
    log = home.unmaskings
    refused = invoke(home, "profile", email, "--unmask", " ")
    assert refused.exit_code == 1 and email not in refused.stdout and not log.exists()
    unmasked = invoke(home, "profile", email, "--unmask", "call of the customer")
    assert unmasked.exit_code == 0 and email in unmasked.stdout
    line = json.loads(log.read_text())
    assert line["reason"] == "call of the customer" and line["command"] == "profile"
    assert len(line["customer_id"]) == 32 and email not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.unlink()
    log.mkdir()
    not_logged = invoke(home, "profile", email, "--unmask", "call of the customer")
    assert not_logged.exit_code == 1 and email not in not_logged.stdout


def json_of(told: Any) -> Any:
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def test_json_of_every_reading_command_parses(sample_home: Home) -> None:
    number = query(
        sample_home.private_file,
        "select min(identifier_value) from profile.customer_identifiers "
        "where identifier_type = 'shopify_customer_id'",
    )[0][0]
    card = json_of(invoke(sample_home, "profile", number, "--json"))
    assert card["customer_id"] and card["identifiers"]
    told = json_of(invoke(sample_home, "explain", number, card["customer_id"], "--json"))
    assert told == {
        "is_linked": True,
        "cause": "the evidence joins them",
        "steps": [],
        "quarantined": [],
    }
    of_one = json_of(invoke(sample_home, "explain", number, "--json"))
    assert of_one["customer_id"] == card["customer_id"] and of_one["sources"]
    status = json_of(invoke(sample_home, "sync", "status", "--json"))
    assert {row["status"] for row in status} == {"succeeded"}
    plans = json_of(invoke(sample_home, "sync", "plan", "--json"))
    assert len(plans) == len(status)
    for plan in plans:
        # Who is withheld is planned anew each time, and not sent.
        planned = plan["insert"] + plan["update"] + plan["delete"]
        assert planned == plan["withheld"] + plan["invalid"] and not plan["blocked_by"]


def test_doctor_finds_a_finished_home_in_order(
    sample_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDP_AS_OF_DATE", AS_OF.isoformat())
    findings = json_of(invoke(sample_home, "doctor", "--json"))
    assert [finding for finding in findings if finding["state"] == "bad"] == []
    assert {"home", "lock", "CDP_ID_PEPPER", "CDP_LEDGER_KEY", "sources", "published"} <= {
        finding["what"] for finding in findings
    }


def test_doctor_names_what_is_wrong_and_exits_with_one(
    sample_home: Home, copy_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_home(sample_home)
    for name in ("CDP_ID_PEPPER", "CDP_LEDGER_KEY"):
        monkeypatch.delenv(name, raising=False)
    home.secrets_file.unlink()
    home.private_file.chmod(0o644)
    told = invoke(home, "doctor", "--json")
    bad = {row["what"]: row["remedy"] for row in json.loads(told.stdout) if row["state"] == "bad"}
    assert told.exit_code == 1
    assert bad == {
        "CDP_ID_PEPPER": "cdp doctor --make-keys",
        "CDP_LEDGER_KEY": "cdp doctor --make-keys",
        "private.duckdb": "chmod 600 private.duckdb",
    }
    assert invoke(home, "doctor", "--make-keys").exit_code == 1
    assert read_secret(home, "CDP_ID_PEPPER")


def test_landing_tells_its_counts_as_json_and_again_nothing(empty_home: Home) -> None:
    folder = empty_home.landing / "consent/consent_events"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text(
        "consent_event_id,contact_point_type,email,channel,purpose,status,captured_at\n"
        "1,email,linh@post.example,email,marketing,subscribed,2026-10-01 10:00:00\n"
        "2,email,linh@post.example,email,marketing,perhaps,2026-10-01 10:00:00\n"
    )
    told = invoke(empty_home, "land", "--json")
    assert told.exit_code == 0
    report = json.loads(told.stdout)
    assert "linh@post.example" not in told.output, "no personal data in what is printed"
    assert '"rejected": 1' in json.dumps(report)
    again = invoke(empty_home, "land")
    assert again.exit_code == 0 and "Nothing waits in the landing folder." in again.output


def test_a_run_with_nothing_new_skips_the_build_and_says_so(skipped_run: Any) -> None:
    assert skipped_run.ended.returncode == 0, skipped_run.ended.stderr
    assert "build skipped" in skipped_run.ended.stderr
    told = json.loads(skipped_run.ended.stdout)
    assert told["was_built"] is False and told["dagster_run_id"] is None
    assert skipped_run.seconds < 10


def test_a_run_with_nothing_new_writes_nothing(skipped_run: Any) -> None:
    assert any(name.startswith("dagster/") for name in skipped_run.before)
    assert skipped_run.after == skipped_run.before


def test_a_home_that_holds_data_is_no_place_for_the_demo(sample_home: Home) -> None:
    told = invoke(sample_home, "demo", "--customers", "200")
    assert told.exit_code == 1
    assert "wants an empty one" in told.stderr


def test_the_day_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDP_AS_OF_DATE", "2026-11-01")
    assert as_of_date() == AS_OF
