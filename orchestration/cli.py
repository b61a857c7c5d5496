"""`cdp`: the command line. Each command is a thin cover over a plain function."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from orchestration.errors import CdpError, LockHeld
from orchestration.home import PROJECT, Home, as_of_date, make_secrets

DEMO_AS_OF = date(2026, 11, 1)
DEMO_CONNECTIONS = """\
# Made by `cdp demo`: mail goes to an embedded server that keeps a Maildir, files to a folder.
email: {type: smtp, embedded: true, maildir: outbox/maildir, sender: hello@shop.example}
csv_drop: {type: file, folder: outbox}
"""
EXIT_FAULT = 1
EXIT_NOBODY = 2
EXIT_HELD = 75

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    err.print(line, markup=False)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))


as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")
wait = click.option(
    "--wait", "wait_seconds", default=0.0, metavar="SECONDS", help="Wait for the warehouse lock."
)


@contextmanager
def faults() -> Iterator[None]:
    """Turns a fault with a remedy into a message and an exit code, without a traceback."""
    try:
        yield
    except LockHeld as held:
        say(f"cdp: {held}")
        sys.exit(EXIT_HELD)
    except CdpError as error:
        say(f"cdp: {error}")
        sys.exit(EXIT_FAULT)


class Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        with faults():
            return super().invoke(ctx)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", metavar="FOLDER", help="CDP_HOME for this command (default: data/).")
@click.version_option(package_name="composable-cdp")
def main(home: str | None) -> None:
    """The customer data platform of this folder.

    \b
    cdp demo        make a sample company and run everything
    cdp run         land, build, check, publish and send what is new
    cdp profile X   one customer's card by any identifier
    cdp doctor      what is wrong with this installation, and what to do
    """
    # What a home holds is personal; publishing opens `cdp.duckdb` to others on purpose.
    os.umask(0o077)
    if home:
        os.environ["CDP_HOME"] = home


def this_home() -> Home:
    return Home.from_environment()


@main.command()
@click.option("--customers", default=10_000, show_default=True, help="People to make.")
@click.option("--seed", default=7, show_default=True, help="Another seed, other people.")
@as_json
def demo(customers: int, seed: int, json_: bool) -> None:
    """Make a sample company in an empty home and run the whole way.

    Run again with the same size and seed it makes nothing anew and builds only what changed.
    """
    from orchestration.demo.company import make_company
    from orchestration.pipeline import run_all

    home = this_home().ensure()
    marker = home.state / "demo.json"
    wanted = {"customers": customers, "seed": seed, "as_of_date": DEMO_AS_OF.isoformat()}
    if marker.exists():
        made = json.loads(marker.read_text())
        if made != wanted:
            raise CdpError(
                f"This home holds the sample of {made['customers']:,} people, seed {made['seed']}. "
                "Give another --home, or remove this one."
            )
    else:
        began = home.warehouse.exists() or (home.state / "engine").exists()
        if began or any(home.landing.iterdir()):
            raise CdpError(
                "This home already holds data; the sample company wants an empty one. "
                "Give another with `cdp --home FOLDER demo`."
            )
        say(f"Making a sample company of {customers:,} people")
        summary = make_company(
            home.landing, home.truth, customers, seed, DEMO_AS_OF, lambda line: say(f"  {line}")
        )
        say(f"  {summary.files} files in {summary.seconds:.1f} s")
        make_secrets(home)
        if not home.connections.exists():
            home.connections.write_text(DEMO_CONNECTIONS)
        marker.write_text(json.dumps(wanted))
    os.environ["CDP_AS_OF_DATE"] = DEMO_AS_OF.isoformat()
    result = run_all(home, DEMO_AS_OF, say, confirm_first_run=True)
    say(f"Done in {result.seconds:.0f} s.")
    print_summary(home, json_)


@main.command()
@click.option("--force", is_flag=True, help="Build even when nothing is new.")
@click.option("--confirm-first-run", is_flag=True, help="Let syncs that never ran send.")
@click.option("--allow-jitter", is_flag=True, help="Let many records change their customer_id.")
@wait
@as_json
def run(
    force: bool, confirm_first_run: bool, allow_jitter: bool, wait_seconds: float, json_: bool
) -> None:
    """Land, build, check, publish and send; skip the build where nothing is new."""
    from orchestration.pipeline import run_all

    home = _with_keys()
    if allow_jitter:
        os.environ["CDP_ALLOW_IDENTITY_JITTER"] = "1"
    result = run_all(home, demo_date(home), say, force, confirm_first_run, wait_seconds)
    if json_:
        show_json(
            {
                "was_built": result.was_built,
                "reason": result.reason,
                "seconds": round(result.seconds, 2),
                "dagster_run_id": result.dagster_run_id,
            }
        )
        return
    say(f"Done in {result.seconds:.1f} s.")
    if result.was_built:
        print_summary(home, False)


def _with_keys() -> Home:
    home = this_home().ensure()
    if make_secrets(home):
        say(f"Made keys for this home in state/{home.secrets_file.name} (mode 0600); keep them.")
    return home


def demo_date(home: Home) -> date:
    """The build's day; a home of the demo keeps the day that the demo recorded."""
    marker = home.state / "demo.json"
    if marker.exists() and "CDP_AS_OF_DATE" not in os.environ:
        os.environ["CDP_AS_OF_DATE"] = json.loads(marker.read_text())["as_of_date"]
    return as_of_date()


@main.command()
@click.option("--source", "sources", multiple=True, help="Only this source; may be repeated.")
@wait
@as_json
def land(sources: tuple[str, ...], wait_seconds: float, json_: bool) -> None:
    """Load what waits in the landing folder into raw tables; build nothing."""
    from orchestration.build_state import forget_build
    from orchestration.landing.declarations import load_declarations
    from orchestration.landing.load import land as land_files
    from orchestration.lock import hold_lock
    from orchestration.warehouse.connect import open_warehouse

    home = this_home().ensure()
    declarations = load_declarations(PROJECT, home.root)
    unknown = set(sources) - set(declarations)
    if unknown:
        raise CdpError(
            f"No such source: {', '.join(sorted(unknown))}. Declared: {', '.join(declarations)}."
        )
    with hold_lock(home, "land", wait_seconds, say), open_warehouse(home) as warehouse:
        report = land_files(
            home, warehouse, declarations, demo_date(home), say, list(sources) or None
        )
        if report.changed:
            forget_build(home)
    if json_:
        show_json(report.as_dict())
        return
    table = _table("Table", "Files", "Landed", "Loaded", "Rejected", "Duplicate", "Suppressed")
    for result in report:
        if result.files:
            table.add_row(
                f"{result.source}.{result.table}",
                *(
                    f"{number:,}"
                    for number in (
                        len(result.files),
                        result.landed,
                        result.loaded,
                        result.rejected,
                        result.duplicate,
                        result.suppressed,
                    )
                ),
            )
    out.print(table if table.row_count else "Nothing waits in the landing folder.")
    for refused in report.refused:
        out.print(f"refused  {refused.text}", markup=False)


unmasking = click.option(
    "--unmask", metavar="REASON", help="Show personal values; who, when and why is logged."
)
MASKED = "Personal values are masked; --unmask REASON shows them and is logged."


@main.command()
@click.argument("identifier")
@unmasking
@as_json
def profile(identifier: str, unmask: str | None, json_: bool) -> None:
    """One customer's 360 card, by e-mail, phone, number, cookie or customer_id.

    What is known and who says so, how to reach the person and whether one may, orders, audiences
    and the timeline. Old customer_ids are followed.
    """
    from orchestration.access_log import log_unmasking
    from orchestration.lookup import read_profile

    home = this_home()
    card = read_profile(home, identifier, unmask is not None)
    if unmask is not None:
        log_unmasking(home, "profile", unmask, card["customer_id"])
    if json_:
        show_json(card)
        return
    _show_profile(card)
    if unmask is None:
        say(MASKED)


WORDS = {
    "known", "said_by", "won_by", "type", "why", "reason", "said_in", "identifier_type",
    "audience", "exit_reason", "reachability",
}  # fmt: skip


def _in_words(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as a narrow terminal shows them best: days for times, names that break at blanks."""

    def told(name: str, value: Any) -> Any:
        if hasattr(value, "hour") or re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", str(value)):
            return _day(value)
        return value.replace("_", " ") if name in WORDS and isinstance(value, str) else value

    return [{name: told(name, value) for name, value in row.items()} for row in rows]


def _show_what_is_known(card: dict[str, Any]) -> None:
    """The heart of a card, in the columns that a terminal has room for; --json has all."""
    attributes = [
        {name: value for name, value in row.items() if name != "since"}
        for row in card["attributes"]
    ]
    _rows("Golden record: what is known and who says so", _in_words(attributes))
    _rows("Contact points", _in_words(card["contact_points"]))
    permissions = [
        {
            "by": f"{row['channel']}, {row['purpose']}",
            "contact_point": row["contact_point"],
            "may": row["is_permitted"],
            **{name: row[name] for name in ("reason", "said_in", "said_at", "until")},
        }
        for row in card["permissions"]
    ]
    _rows("May be contacted", _in_words(permissions))


def _show_profile(card: dict[str, Any]) -> None:
    golden, metrics = card["golden_record"], card["metrics"]
    name = " ".join(filter(None, (golden["first_name"], golden["last_name"])))
    out.print(f"[bold]Customer {card['customer_id']}[/bold]")
    _pairs(
        {
            "Name": name,
            "E-mail": golden["email"],
            "Phone": golden["phone"],
            "Stage": metrics["journey_stage"],
            "RFM": " ".join(filter(None, (metrics["rfm_score"], metrics["rfm_segment"]))),
            "Orders": f"{metrics['order_count']}, worth {metrics['order_revenue_amount']:,.2f}",
            "Seen": f"{_day(golden['first_seen_at'])} to {_day(golden['last_seen_at'])}",
            "Household": card["household_size"] and f"{card['household_size']} customers",
        }
    )
    _show_what_is_known(card)
    _rows("Identifiers", _in_words(card["identifiers"]))
    _rows("Audiences", _in_words(card["audiences"]))
    _rows("Latest orders", card["orders"])
    _rows("Channels", card["channels"])
    _rows("Timeline, the latest first", card["timeline"])


@main.command()
@click.argument("one")
@click.argument("other", required=False)
@unmasking
@as_json
def explain(one: str, other: str | None, unmask: str | None, json_: bool) -> None:
    """Why two identifiers are one customer, or what keeps them apart; of one, its card.

    \b
    cdp explain A B      the shortest path of evidence between two identifiers or customer_ids,
                         or the rule, cap, block or override that stopped it
    cdp explain A        one customer's identity: identifiers, sources, weakest link, bridges
    """
    from orchestration.access_log import log_unmasking
    from orchestration.lookup import explain as explain_link
    from orchestration.lookup import read_identity

    home, shown = this_home(), unmask is not None
    if other is None:
        card = read_identity(home, one, shown)
        if unmask is not None:
            log_unmasking(home, "explain", unmask, card["customer_id"])
        if json_:
            show_json(card)
        else:
            _show_identity(card, shown)
        return
    found = explain_link(home, one, other, shown)
    if unmask is not None:
        log_unmasking(home, "explain", unmask)
    if json_:
        show_json(found)
        return
    if found["is_linked"]:
        steps = len(found["steps"])
        out.print(f"One customer: {steps} step{'s' if steps != 1 else ''} of evidence.")
    else:
        out.print(f"Two customers: {found['cause']}.", markup=False)
    _rows("Kept out of the graph", found["quarantined"])
    _steps("Evidence", found["steps"])


def _steps(title: str, steps: list[dict[str, Any]]) -> None:
    """Steps of evidence as a table, without the columns in which nothing is worth telling."""
    usual = {"kind": "deterministic", "weight": 1.0, "status": "active", "reason": None}
    told = {
        name for step in steps for name, value in step.items() if usual.get(name, value) != value
    }
    hidden = set(usual) - told
    _rows(title, [{n: v for n, v in step.items() if n not in hidden} for step in steps])


def _show_identity(card: dict[str, Any], unmask: bool) -> None:
    counts = card["card"]
    out.print(f"[bold]Customer {card['customer_id']}[/bold]")
    _pairs(
        {
            "Identifiers": f"{counts['identifier_count']} "
            f"of {counts['identifier_type_count']} types",
            "Records": f"{counts['record_count']:,} of {counts['source_count']} sources",
            "Evidence": f"{counts['edge_count']} edges: {counts['probable_edge_count']} probable, "
            f"{counts['manual_edge_count']} by a person; {counts['refused_edge_count']} refused",
            "Seen": f"{_day(counts['first_seen_at'])} to {_day(counts['last_seen_at'])}",
            "Held back": "too many identifiers: look at the bridges"
            if counts["is_oversized"]
            else "no",
        }
    )
    _rows("Identifiers", card["identifiers"])
    _rows("Sources", card["sources"])
    if card["weakest_link"]:
        _steps("Weakest link", [card["weakest_link"]])
    _steps("Bridges: without one of these it would be two customers", card["bridges"])
    _steps("Evidence refused", card["refused"])
    _rows("Household", card["household"])
    _rows("History", card["history"])
    if not unmask:
        say(MASKED)


@main.group()
def match() -> None:
    """Probable matches: people whom no identifier joins and who may still be one."""


@match.command("train")
@click.option("--seed", type=int, help="Another seed, other random pairs (default: the settings').")
@wait
def match_train(seed: int | None, wait_seconds: float) -> None:
    """Learn what agreement is worth from this home's own people; builds then score with it."""
    from orchestration.lock import hold_lock
    from orchestration.matching.build import train_on_home
    from orchestration.warehouse.connect import open_warehouse

    home = this_home().ensure()
    with (
        hold_lock(home, "match train", wait_seconds, say),
        open_warehouse(home, read_only=True) as warehouse,
    ):
        model = train_on_home(home, warehouse, seed)
    out.print(f"Learned: state/{model.name}. The next `cdp run` matches with it.", markup=False)


@match.command("review")
@click.option("--limit", default=20, show_default=True, help="Pairs to show.")
@unmasking
@as_json
def match_review(limit: int, unmask: str | None, json_: bool) -> None:
    """Candidate pairs and what became of them, the least certain of those admitted first.

    To decide on one, put its identifiers into seeds/identity_overrides.csv: must_link accepts,
    cannot_link refuses.
    """
    from orchestration.access_log import log_unmasking
    from orchestration.lookup import match_candidates

    home = this_home()
    if unmask is not None:
        log_unmasking(home, "match review", unmask)
    rows = match_candidates(home, limit, unmask is not None)
    if json_:
        show_json(rows)
    elif rows:
        _rows("Candidates", rows)
    else:
        out.print("No two people are alike enough.")


@main.group()
def sync() -> None:
    """Send audiences to destinations, and see what was sent."""


sync_name = click.argument("names", nargs=-1, metavar="[SYNC]…")


def _syncs(home: Home, names: tuple[str, ...]) -> list[Any]:
    from orchestration.syncs.settings import load_syncs

    syncs = load_syncs(home.manifest)
    unknown = set(names) - {each.name for each in syncs}
    if unknown:
        raise CdpError(
            f"No such sync: {', '.join(sorted(unknown))}. "
            f"There are: {', '.join(each.name for each in syncs)}."
        )
    return [each for each in syncs if not names or each.name in names]


@sync.command("plan")
@sync_name
@click.option("--confirm-first-run", is_flag=True, help="As the run would with it.")
@as_json
def sync_plan(names: tuple[str, ...], confirm_first_run: bool, json_: bool) -> None:
    """What a run would send now; writes nothing."""
    from orchestration.syncs.connections import load_connections
    from orchestration.syncs.plan import plan_sync

    home = this_home()
    connections = load_connections(home)
    plans = []
    for each in _syncs(home, names):
        plan = plan_sync(
            home,
            each,
            connections.get(each.meta.destination),
            confirm_first_run=confirm_first_run,
        )
        plans.append(
            {
                "sync": each.name,
                "to_send": plan.to_send,
                "insert": plan.insert,
                "update": plan.update,
                "delete": plan.delete,
                "unchanged": plan.unchanged,
                "withheld": plan.withheld,
                "invalid": plan.invalid,
                "blocked_by": [block.message for block in plan.blocks],
            }
        )
    if json_:
        show_json(plans)
    else:
        _rows("Plan", plans)


@sync.command("run")
@sync_name
@click.option("--confirm-first-run", is_flag=True, help="Let a sync that never ran send.")
@click.option("--confirm-removals", is_flag=True, help="Let a large removal pass its guard.")
@as_json
def sync_run(
    names: tuple[str, ...], confirm_first_run: bool, confirm_removals: bool, json_: bool
) -> None:
    """Send what changed since the last acknowledged send; a second run sends nothing."""
    from orchestration.syncs.send import send, told

    home = this_home()
    demo_date(home)
    ended = [
        (each, send(home, each, confirm_first_run, confirm_removals))
        for each in _syncs(home, names)
    ]
    if json_:
        show_json(
            [
                {
                    "sync": each.name,
                    "status": sent.result.status if sent.result else "failed",
                    "reason": sent.result.reason if sent.result else sent.fault,
                    **(dict(sent.result.counts) if sent.result else {}),
                }
                for each, sent in ended
            ]
        )
    else:
        for each, sent in ended:
            line = told(sent.result) if sent.result else f"{each.name}: {sent.fault}"
            out.print(line, markup=False)
    if any(sent.fault or sent.is_waiting for _, sent in ended):
        sys.exit(EXIT_FAULT)


@sync.command("status")
@sync_name
@as_json
def sync_status(names: tuple[str, ...], json_: bool) -> None:
    """Per sync its last run, what is open and whose fate is unknown."""
    from orchestration.syncs.status import sync_statuses

    home = this_home()
    rows = [
        {
            "sync": status.sync,
            "mode": status.mode,
            "last_run": status.finished_at or status.started_at,
            "status": status.status or "never ran",
            "present": status.present,
            "open": sum(status.open_rows.values()),
            "unknown": len(status.unknown_customers),
            "reason": status.reason,
        }
        for status in sync_statuses(home, _syncs(home, names))
    ]
    if json_:
        show_json(rows)
    else:
        _rows("Syncs", rows)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--to", "engine", required=True, type=click.Choice(["duckdb", "spark"]), help="The engine."
)
@as_json
def move(folder: Path, engine: str, json_: bool) -> None:
    """Copy this home into FOLDER for another engine; customer ids and history stay.

    Raw tables, history tables, keys, ledger and archive are copied, and this home is left as
    it is. For Spark, CDP_SPARK_HOST, CDP_SPARK_PORT and CDP_SPARK_STORAGE name the cluster.
    """
    from orchestration.landing.declarations import load_declarations
    from orchestration.project import ensure_manifest
    from orchestration.warehouse.move import move_home

    home = this_home()
    manifest = ensure_manifest(home, demo_date(home), say)
    target = Home(folder.resolve())
    moved = move_home(home, target, engine, load_declarations(PROJECT, home.root), manifest, say)
    if json_:
        show_json([each.__dict__ for each in moved])
        return
    rows = sum(each.rows for each in moved)
    out.print(f"Moved {len(moved)} tables, {rows:,} rows, to {engine}.")
    out.print(f"Build it with: CDP_TARGET={engine} cdp --home {folder} run", markup=False)


@main.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--with-keys", is_flag=True, help="Save the pepper and the ledger key too.")
@wait
@as_json
def backup(target: Path, with_keys: bool, wait_seconds: float, json_: bool) -> None:
    """Save what cannot be made again from landed files into FILE, or a dated one in a folder.

    The salt, registry and history of the customer ids, audience memberships, the ledger of sends
    and this home's settings. It holds personal data, for its owner alone to read (mode 0600).
    Raw rows are not in it: keep `archive/` too, which holds the originals. Keys are not, unless
    --with-keys asks for them: who has file and keys can read the ledger's addresses, so keep
    such a file as you keep secrets, or keep state/secrets.env apart from it.
    """
    from orchestration.backup import backup_home

    home = this_home()
    made = backup_home(home, target, demo_date(home), say, with_keys, wait_seconds)
    _show_backup("Saved", made, json_)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Forget what this home learnt since.")
@click.option("--check", is_flag=True, help="Read and verify FILE, change nothing.")
@click.option("--without-ledger", is_flag=True, help="Leave this home's ledger of sends as it is.")
@wait
@as_json
def restore(
    file: Path, yes: bool, check: bool, without_ledger: bool, wait_seconds: float, json_: bool
) -> None:
    """Put what `cdp backup` saved into FILE back, into its own home or an empty one.

    All of it or nothing: every part is verified first. In an empty home, copy the old home's
    archive/ into it before: its originals are then put back into landing/ to be loaded again.
    The next `cdp run` builds with the customer ids of the backup.
    """
    from orchestration.backup import look_into, restore_home

    home = this_home()
    if check:
        _show_backup("Whole", look_into(file), json_)
        return
    restored = restore_home(
        home, file.absolute(), demo_date(home), say, yes, not without_ledger, wait_seconds
    )
    contents = restored.contents
    if json_:
        show_json(
            {
                **contents.model_dump(mode="json", exclude={"tables", "members"}),
                "tables": len(contents.tables),
                "rows": contents.rows,
                "forgotten_ids": restored.forgotten_ids,
                "forgotten_sends": restored.forgotten_sends,
                "originals_to_land": restored.originals_to_land,
                "originals_missing": restored.originals_missing,
            }
        )
        return
    out.print(
        f"Restored {len(contents.tables)} tables, {contents.rows:,} rows: "
        f"{contents.customers:,} customers as of {contents.as_of_date}, "
        f"build {contents.build_number}."
    )
    if restored.forgotten_ids or restored.forgotten_sends:
        out.print(
            f"Forgotten: {restored.forgotten_ids:,} customer ids and "
            f"{restored.forgotten_sends:,} sends since."
        )
    if restored.originals_to_land:
        out.print(f"{restored.originals_to_land:,} originals wait in landing/ to be loaded again.")
    if restored.originals_missing:
        out.print(
            f"{restored.originals_missing:,} originals are neither in landing/ nor in archive/: "
            "copy the old home's archive/ here and restore again before you run."
        )
    out.print("Build with: cdp run")


def _show_backup(told: str, made: Any, json_: bool) -> None:
    contents = made.contents
    if json_:
        show_json(
            {
                "file": str(made.path),
                "size_bytes": made.size_bytes,
                **contents.model_dump(mode="json", exclude={"members"}),
            }
        )
        return
    sent = "no ledger" if contents.deliveries is None else f"{contents.deliveries:,} deliveries"
    keys = "with keys" if contents.has_keys else "without keys"
    out.print(
        f"{told}: {made.path.name}, {made.size_bytes / 1e6:,.1f} MB: {contents.customers:,} "
        f"customers as of {contents.as_of_date}, build {contents.build_number}; "
        f"{len(contents.tables)} tables, {contents.rows:,} rows; {sent}; {keys}.",
        markup=False,
    )


@main.command()
@click.option("--identity", "of_identity", is_flag=True, help="Customers, by the rules as edited.")
@click.option("--profile", "of_profile", is_flag=True, help="Golden record, by rules as edited.")
@click.option("--limit", default=20, show_default=True, help="Rows of each list.")
@unmasking
@wait
@as_json
def plan(
    of_identity: bool,
    of_profile: bool,
    limit: int,
    unmask: str | None,
    wait_seconds: float,
    json_: bool,
) -> None:
    """What the next build would change, before it does; nothing live is written.

    --identity: edit seeds (identifier_types, blocked_identifiers …), models or variables, see
    here which customers would merge, split and move, then run or take the edit back. It builds
    identity in a copy of the warehouse, which is removed.

    --profile: the same for the golden record (survivorship_rules, survivorship_strategies,
    blocked_attribute_values): which fields would change, by whom they would be said.

    `cdp sync plan` tells what would be sent.
    """
    from orchestration.access_log import log_unmasking
    from orchestration.preview import preview_identity, preview_profile

    if of_identity and of_profile:
        raise click.UsageError("Give --identity or --profile; each builds a copy of its own.")
    if not (of_identity or of_profile):
        out.print("cdp plan --identity   who would merge, split or move by the rules as edited")
        out.print("cdp plan --profile    which fields of the golden record would change")
        out.print("cdp sync plan         what the syncs would send")
        return
    home = this_home()
    preview = preview_identity if of_identity else preview_profile
    if unmask is not None:
        log_unmasking(home, "plan", unmask)
    found = preview(home, demo_date(home), say, limit, unmask is not None, wait_seconds)
    if json_:
        show_json(found.as_dict())
        return
    out.print(f"A build as of {found.as_of_date}, after build {found.last_build.number}")
    if of_identity:
        _show_identity_plan(found.counts)
    else:
        _show_profile_plan(found.counts)
    for name, rows in found.samples.items():
        _rows(name.capitalize(), rows)
    for note in found.notes:
        say(note)
    if unmask is None and any(found.samples.values()):
        say(MASKED)


def _show_identity_plan(counts: dict[str, int | float]) -> None:
    for name, title in (("customers", "Customers"), ("largest", "Identifiers of the largest")):
        out.print(f"  {title:<27} {counts[f'{name}_before']:,} -> {counts[f'{name}_after']:,}")
    for name, title in PLANNED.items():
        out.print(f"  {title:<27} {counts[name]:,}")
    out.print(
        f"  {'Records renumbered':<27} {counts['records_renumbered']:,} of "
        f"{counts['records_compared']:,} ({_share(counts['renumbered_share'])})"
    )


def _show_profile_plan(counts: dict[str, int | float]) -> None:
    out.print(
        f"  {'Customers that change':<27} {counts['customers_changed']:,} of "
        f"{counts['customers']:,}"
    )
    for name, changed in counts.items():
        if name not in ("customers", "customers_changed"):
            out.print(f"  {name.replace('_', ' ').capitalize():<27} {changed:,}")


PLANNED = {
    "merge": "Merged into another",
    "split": "Split off, new",
    "restore": "Split off, as once before",
    "move": "Moves of identifiers",
    "retire": "Retired",
    "create": "New",
    "reanchor": "Anchored elsewhere",
    "quarantined": "Identifiers quarantined",
    "released": "Identifiers released",
    "records_without_customer": "Records that lose theirs",
    "records_with_new_customer": "Records that gain one",
}


@main.group()
def privacy() -> None:
    """What is held of a person, their erasure everywhere, and the end of contact.

    docs/privacy.md says what each does to each place, and what none can reach.
    """


strategy = click.option(
    "--strategy",
    type=click.Choice(["connected", "exact"]),
    default="connected",
    show_default=True,
    help="All identifiers of the customer, or this identifier alone.",
)
kind_of = click.option("--type", "kind", metavar="TYPE", help="Its type, where it stands for two.")


@contextmanager
def _nobody_known() -> Iterator[None]:
    """Somebody unknown is no fault of the home: an exit code of its own."""
    from orchestration.privacy.erase import NobodyKnown

    try:
        yield
    except NobodyKnown as unknown:
        say(f"cdp: {unknown}")
        sys.exit(EXIT_NOBODY)


@privacy.command("access")
@click.argument("identifier")
@strategy
@kind_of
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the two files (default: access/ in the home).",
)
@wait
@as_json
def privacy_access(
    identifier: str,
    strategy: Any,
    kind: str | None,
    output: Path | None,
    wait_seconds: float,
    json_: bool,
) -> None:
    """Write all that is held of a person as JSON and as a page (mode 0600).

    It opens the warehouse, so it waits for a build to end. Exits with 2 for somebody unknown.
    """
    from orchestration.privacy.access import access

    home = this_home()
    with _nobody_known():
        answer = access(home, identifier, strategy, kind, output, say, wait_seconds)
    if json_:
        show_json(
            {
                "request_id": answer.request.request_id,
                "rows": answer.held.rows,
                "json": str(answer.json_file),
                "page": str(answer.page),
            }
        )
        return
    out.print(f"{answer.held.rows:,} rows of request {answer.request.request_id}:", markup=False)
    for path in (answer.page, answer.json_file):
        out.print(f"  {_shown(path)}", markup=False)


@privacy.command("erase")
@click.argument("identifier")
@strategy
@kind_of
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--backups",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder with more backups of this home; may be repeated.",
)
@wait
@as_json
def privacy_erase(
    identifier: str,
    strategy: Any,
    kind: str | None,
    yes: bool,
    folders: tuple[Path, ...],
    wait_seconds: float,
    json_: bool,
) -> None:
    """Remove a person from every place, for good, and build anew.

    Landed files, raw tables, models, histories, ledger, published files, destinations, backups,
    reports and logs. A keyed hash stays, so that no file brings them back. Killed or failed, run
    it again: it goes on. Exits with 2 for somebody unknown, with 1 where something is left.
    """
    from orchestration.privacy.erase import erase

    home = this_home()
    if not yes:
        click.confirm("This cannot be undone. Erase this person?", abort=True, err=True)
    with _nobody_known():
        erased = erase(
            home, identifier, demo_date(home), say, strategy, kind, folders, wait_seconds
        )
    request = erased.request
    if json_:
        show_json(
            {
                "request_id": request.request_id,
                "status": request.status,
                "erased_before": erased.was_before,
                "finished_at": request.finished_at,
                "places": [vars(each) for each in erased.counts],
            }
        )
    elif erased.was_before:
        out.print(f"Erased before, at {request.finished_at}; nothing was done again.")
    else:
        _rows("Erased", [vars(each) for each in erased.counts])
        out.print(f"Request {request.request_id}: {request.status}. {request.note}", markup=False)
    if erased.left and not erased.was_before:
        sys.exit(EXIT_FAULT)


@privacy.command("suppress")
@click.argument("identifier")
@strategy
@wait
@as_json
def privacy_suppress(identifier: str, strategy: str, wait_seconds: float, json_: bool) -> None:
    """Send nothing to a person any more; their data stays. Sends heed it at once."""
    _change_suppression("suppress", identifier, strategy, wait_seconds, json_)


@privacy.command("unsuppress")
@click.argument("identifier")
@strategy
@wait
@as_json
def privacy_unsuppress(identifier: str, strategy: str, wait_seconds: float, json_: bool) -> None:
    """Let a person be sent to again, where their consent allows it."""
    _change_suppression("unsuppress", identifier, strategy, wait_seconds, json_)


def _change_suppression(
    kind: Any, identifier: str, strategy: str, wait_seconds: float, json_: bool
) -> None:
    from orchestration.privacy.suppress import change_suppression

    changed = change_suppression(_with_keys(), identifier, kind, strategy, say, wait_seconds)
    if json_:
        show_json(
            {
                "request_id": changed.request.request_id,
                "contact_points": changed.contact_points,
                "changed": changed.changed,
            }
        )
        return
    out.print(
        f"{changed.changed} of {changed.contact_points} contact points {kind}ed. Sends heed it "
        "now; tables tell it after the next `cdp run`."
    )


@privacy.command("status")
@as_json
def privacy_status(json_: bool) -> None:
    """Every request: what was asked, how far it is, and the days left to answer it."""
    from datetime import UTC, datetime

    from orchestration.privacy.requests import Requests

    today = datetime.now(UTC).date()
    rows = [
        {
            "request": each.request_id,
            "kind": each.kind,
            "strategy": each.strategy,
            "status": each.status,
            "received_at": each.received_at,
            "days_left": each.days_left(today),
            "finished_at": each.finished_at,
            "note": each.note,
        }
        for each in Requests(this_home()).all()
    ]
    if json_:
        show_json(rows)
    elif rows:
        _rows("Requests", rows)
    else:
        out.print("Nobody asked yet.")


@main.group()
def spark() -> None:
    """A Spark cluster on this machine's loopback, to try and to test on.

    A cluster of your own is reached by CDP_TARGET=spark, CDP_SPARK_HOST, CDP_SPARK_PORT and
    CDP_SPARK_STORAGE; docs/scaling.md tells of both.
    """


@contextmanager
def _local_cluster() -> Iterator[Any]:
    """The cluster in this home's folder; it is stopped however the block ends."""
    import signal

    from orchestration.warehouse.cluster import ClusterSettings, LocalCluster

    home = this_home().ensure()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_FAULT))
    settings = ClusterSettings.from_environment()
    cluster = LocalCluster(home.root / "cluster", home.root / "storage", settings, say)
    with cluster:
        yield cluster
        say("stopping Spark …")


@spark.command("up")
def spark_up() -> None:
    """Start master, workers and Thrift server, and keep them until Ctrl-C.

    \b
    Settings: CDP_SPARK_PORT, CDP_SPARK_MASTER_PORT, CDP_SPARK_UI_PORT, CDP_SPARK_WORKERS,
    CDP_SPARK_WORKER_CORES, CDP_SPARK_WORKER_MEMORY, CDP_SPARK_DRIVER_MEMORY,
    CDP_SPARK_SHUFFLE_PARTITIONS
    """
    import time

    with _local_cluster() as cluster:
        for name, value in cluster.environment.items():
            out.print(f"export {name}={value}", markup=False)
        say("Ctrl-C stops it.")
        try:
            while cluster.is_running:
                time.sleep(1)
        except KeyboardInterrupt:
            return
        raise CdpError(f"A process of Spark ended; its log is in {cluster.folder / 'logs'}.")


@spark.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def spark_run(command: tuple[str, ...]) -> None:
    """Start a cluster, run one `cdp` COMMAND on it, stop it: `cdp spark run demo`."""
    import subprocess

    with _local_cluster() as cluster:
        environment = {
            **os.environ,
            **cluster.environment,
            "CDP_HOME": str(this_home().root),
        }
        arguments = [sys.executable, "-m", "orchestration.cli", *command]
        ended = subprocess.run(arguments, env=environment, check=False)
    sys.exit(ended.returncode)


@main.command("publish")
@wait
def publish_command(wait_seconds: float) -> None:
    """Check the warehouse as it stands and, if it passes, swap in the published files."""
    from orchestration.lock import hold_lock
    from orchestration.project import code_hash, ensure_manifest, run_dbt
    from orchestration.publish.publish import built_as_of, publish

    home = _with_keys()
    as_of = built_as_of(home)
    with hold_lock(home, "publish", wait_seconds, say):
        ensure_manifest(home, as_of, say)
        say("dbt: checking the warehouse")
        run_dbt(home, as_of, ["test", "--exclude-resource-type", "unit_test"])
        publication = publish(home, as_of, code_hash(home), say)
    say(f"Published {len(publication.rows)} tables as of {as_of}.")


@main.command()
@click.option("--make-keys", is_flag=True, help="Make the pepper and the ledger key if missing.")
@as_json
def doctor(make_keys: bool, json_: bool) -> None:
    """What this installation has and lacks; exit code 1 where something is wrong."""
    from orchestration.doctor import examine

    home = this_home()
    if make_keys:
        home.ensure()
        say("Made keys." if make_secrets(home) else "This home has its keys.")
    findings = examine(home)
    if json_:
        show_json([finding.__dict__ for finding in findings])
    else:
        colours = {"ok": "green", "note": "yellow", "bad": "red"}
        table = _table("", "What", "Found", "To do")
        for finding in findings:
            state = f"[{colours[finding.state]}]{finding.state}[/]"
            table.add_row(state, finding.what, finding.found, finding.remedy)
        out.print(table)
    if any(finding.state == "bad" for finding in findings):
        sys.exit(EXIT_FAULT)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _day(value: Any) -> str:
    return str(value)[:10]


def _pairs(values: dict[str, Any]) -> None:
    for name, value in values.items():
        out.print(f"  {name:<10} {value or '—'}", markup=False)


# The longest word, or day, for which a column makes room.
WORD = 13


def _rows(title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = _table(*(name.replace("_", " ") for name in rows[0]))
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    for column, name in zip(table.columns, rows[0], strict=True):
        # A word or a day that is broken in two is hard to read.
        words = f"{column.header} {' '.join(_cell(row[name]) for row in rows)}".split()
        column.min_width = max((len(word) for word in words if len(word) <= WORD), default=1)
    out.print(f"\n[bold]{title}[/bold]")
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "—"
    return str(value)[:19] if hasattr(value, "hour") else str(value)


def _counts(title: str, counts: dict[str, int], tell: Callable[[str], str] = str) -> None:
    if counts:
        listed = ", ".join(f"{tell(name)} {number:,}" for name, number in counts.items())
        out.print(f"[bold]{title:<15}[/bold] {listed}")


def print_summary(home: Home, json_: bool) -> None:
    """The numbers a person asks for after a run, and where to look next."""
    from orchestration.summary import summarise

    summary = summarise(home)
    if json_:
        show_json(summary)
        return
    out.print(f"\n[bold]As of {summary['as_of_date']}[/bold]")
    table = _table("source", "landed", "rejected", "duplicate", "loaded")
    for row in summary["rows"]:
        table.add_row(row["source"], *(f"{row[name]:,}" for name in list(row)[1:]))
    out.print(table)
    out.print()
    _counts("Customers", summary["customers"])
    if "identity" in summary:
        found = summary["identity"]
        out.print(
            f"[bold]{'Against truth':<15}[/bold] {found['people']:,} people, found as "
            f"{found['people_found']:,}; pairwise precision {_share(found['precision'])} "
            f"({_share(found['unguarded_precision'])} without guard rails), recall "
            f"{_share(found['recall_linkable'])} of what unblocked evidence can link, "
            f"{_share(found['recall_all'])} of all; exactly one person's: "
            f"{_share(found['cluster_precision'])} of the customers, "
            f"{_share(found['cluster_recall'])} of the people"
        )
    _counts("Interactions", summary["interactions"])
    _counts("RFM segments", summary["rfm_segments"])
    _counts("Journey stages", summary["journey_stages"])
    _counts("Audiences", summary["audiences"])
    for each in summary["syncs"]:
        counts = each["counts"]
        out.print(
            f"[bold]{each['sync']}[/bold]: {each['status'] or 'never ran'}; last run sent "
            f"{counts.get('acked', 0):,}, holds {each['present']:,}, unknown {each['unknown']:,}"
        )
        _counts("  withheld", summary["withheld"].get(each["sync"], {}))
    _show_campaigns(summary["campaigns"])
    _show_example(summary["example"])
    out.print("\n[bold]Where to look next[/bold]")
    for line in _next_steps(home, summary):
        out.print(f"  {line}", markup=False)


def _show_campaigns(campaigns: list[dict[str, Any]]) -> None:
    if not campaigns:
        return
    table = _table("Channel", "Campaign", "Spend", "Revenue", "Orders", "Per unit spent")
    for row in campaigns:
        back = "—" if row["return"] is None else f"{row['return']:.2f}"
        table.add_row(
            row["channel_group"],
            row["campaign"],
            f"{row['spend']:,.2f}",
            f"{row['revenue']:,.2f}",
            f"{row['orders']:,}",
            back,
        )
    out.print("\n[bold]What led to orders[/bold] (every touch alike)")
    out.print(table)


def _show_example(example: dict[str, Any] | None) -> None:
    if example is None:
        return
    out.print(
        f"\n[bold]One customer[/bold] ({example['identifier']}): {example['interactions']:,} "
        f"interactions in {example['channels']} channels; the latest in each"
    )
    table = _table("When", "Channel", "What", "From", "Times")
    for row in example["timeline"]:
        table.add_row(
            row["occurred_at"][:16],
            row["channel"],
            row["activity"],
            row["source"],
            f"{row['count']:,}",
        )
    out.print(table)
    _show_what_is_known(example)


def _next_steps(home: Home, summary: dict[str, Any]) -> list[str]:
    lines = ["make ui                      the runs, the asset graph and every check"]
    if summary["example"]:
        # As people would type it: the environment need not be active.
        command = _shown(Path(sys.argv[0]).absolute()) if sys.argv[0].endswith("cdp") else "cdp"
        lines.append(f"{command} profile {summary['example']['identifier']}   one customer's card")
    lines += [
        f"{_shown(home.cdp_file)}   masked tables for BI",
        f"{_shown(home.reports)}/landing.html   what landed, checked",
        f"{_shown(home.outbox)}/   mail and files that left",
    ]
    return lines


def _shown(path: Any) -> str:
    """A path below the working folder as people would type it."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path)


def _share(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.2f} %"


if __name__ == "__main__":
    main()
