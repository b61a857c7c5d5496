"""Backup and restore: ids, history and ledger of one moment, put back together or not at all."""

import json
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support import (
    AGAIN,
    AS_OF,
    PROJECT,
    Dbt,
    account,
    cdp,
    environment_of,
    land_waiting,
    make_home,
    put,
    query,
)
from test_lock import another_holder

from orchestration.backup import Backup, backup_home, look_into, restore_home
from orchestration.build_state import begin_build, end_build, is_half_restored, is_unfinished
from orchestration.errors import CdpError, LockHeld
from orchestration.home import Home
from orchestration.lock import hold_lock
from orchestration.syncs.ledger import Ledger

SELECT = ("+identity_redirects", "+record_customers")
DAY = timedelta(days=1)
SAVED, LATER = AS_OF + DAY, AS_OF + 2 * DAY
HISTORY = (
    "identity.identity_registry",
    "identity.identity_map",
    "identity.identity_events",
    "identity.identity_quarantine",
    "audiences.audience_memberships",
    "raw_cdp.installation",
)
Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Story:
    """A home whose customers merged, were saved, and were taken apart again on the next day."""

    saved: Home
    later: Home
    file: Path


@pytest.fixture(scope="module")
def story(dbt: Dbt, manifest_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("story")
    home = make_home(root / "home")
    give_manifest(manifest_home, home)
    put(home, "shopify/order", "guest.csv", [order("o1", email="mona@example.com")])
    dbt.build(home, SELECT)
    put(home, "shopify/customer", "accounts.csv", [account("acc", AT, email="acc@example.com")])
    # Two names, one content: the originals of both are needed.
    put(home, "shopify/customer", "copy.csv", [account("acc", AT, email="acc@example.com")])
    dbt.build(home, SELECT, *AGAIN)
    put_link(home, "mona@example.com")
    dbt.build(home, SELECT, *AGAIN, as_of=SAVED)
    execute(
        home,
        "insert into audiences.audience_memberships (audience, customer_id, entered_at) "
        "select 'lapsing', customer_id, built_as_of from identity.identity_registry "
        "where status = 'active'",
    )
    write_ledger(home, "first", "acked")
    file = backup_home(home, root, SAVED).path
    saved = Home(root / "saved")
    shutil.copytree(home.root, saved.root)
    # The link came by mistake; somebody else is new; the audience empties; another was sent to.
    put_link(home, "acc@example.com")
    put(home, "shopify/order", "new.csv", [order("o3", email="nora@example.com")])
    dbt.build(home, SELECT, *AGAIN, as_of=LATER)
    execute(home, "update audiences.audience_memberships set exited_at = '2026-11-03'")
    write_ledger(home, "second", "unknown")
    return Story(saved, home, file)


AT = "2026-10-20 10:00:00"


def order(number: str, **given: str) -> dict[str, str]:
    return {
        "id": number,
        "customer_id": "",
        "email": "",
        "billing_address_country_code": "GB",
        "currency": "GBP",
        "total_price": "10",
        "created_at": AT,
        "updated_at": AT,
        **given,
    }


def put_link(home: Home, email: str) -> None:
    """An order of the account; with the guest's address it makes the two one."""
    put(home, "shopify/order", "link.csv", [order("o2", customer_id="acc", email=email)])


def give_manifest(manifest_home: Home, home: Home) -> None:
    """A parse costs seconds and would say the same."""
    home.dbt_target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(manifest_home.manifest, home.manifest)


def execute(home: Home, statement: str) -> None:
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute(statement)


def write_ledger(home: Home, change: str, state: str) -> None:
    """A change that a sync made, and what it left at the destination."""
    with Ledger.open(home), closing(sqlite3.connect(home.ledger)) as connection, connection:
        connection.execute(
            "insert into outbox (change_id, run_id, sync, customer_id, operation, state, "
            "planned_at) values (?, 'run', 'sync', 'customer', 'insert', ?, ?)",
            [change, state, AT],
        )
        connection.execute(
            "insert into delivered (sync, dest_key_hmac, person_hmac, customer_id, state, "
            "changed_at) values ('sync', ?, 'person', 'customer', 'present', ?)",
            [change, AT],
        )


def sent(home: Home) -> list[str]:
    with closing(sqlite3.connect(home.ledger)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("select change_id from outbox order by 1").fetchall()
    return [row[0] for row in rows]


def history(home: Home) -> Rows:
    """All that outlives a build, but for which dbt run told it."""
    return {
        table: query(
            home.warehouse,
            f"select {'* exclude (run_id)' if 'events' in table else '*'} from {table} "
            "order by all",
        )
        for table in HISTORY
    }


def without_build(rows: Rows) -> Rows:
    """The history with what each row of the registry says of the last build left out."""
    registry = "identity.identity_registry"
    return {**rows, registry: [row[:-2] for row in rows[registry]]}


def customers(home: Home) -> dict[str, str]:
    statement = "select identifier_value, customer_id from identity.identity_map where is_current"
    return dict(query(home.warehouse, statement))


def redirects(home: Home) -> list[tuple[Any, ...]]:
    return query(home.warehouse, "select * from identity.identity_redirects order by all")


def copied(home: Home, folder: Path) -> Home:
    shutil.copytree(home.root, folder)
    return Home(folder)


@pytest.fixture
def later(story: Story, tmp_path: Path) -> Home:
    """A copy of the home as it is on the later day."""
    return copied(story.later, tmp_path / "later")


@pytest.fixture
def bare(story: Story, manifest_home: Home, tmp_path: Path) -> Home:
    """A new home with the old one's keys and nothing else."""
    home = Home(tmp_path / "bare").ensure()
    shutil.copy(story.saved.secrets_file, home.secrets_file)
    give_manifest(manifest_home, home)
    return home


def files_of(home: Home) -> dict[str, bytes]:
    """Every file of a home but its lock, what dbt parses and what any look at it leaves."""
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in sorted(home.root.rglob("*"))
        if path.is_file()
        and path.relative_to(home.root).parts[0] not in ("cdp.lock", "dbt_target", "dagster")
        and not path.name.endswith(("-shm", "-wal"))
        and path.name != "engine"
    }


def test_a_restored_home_is_what_it_was_and_goes_on_as_it_did(
    dbt: Dbt, story: Story, later: Home
) -> None:
    then, now = history(story.saved), history(story.later)
    kinds = [row[0] for row in now["identity.identity_events"]]
    assert {"merge", "restore"} <= set(kinds) and then != now
    said: list[str] = []
    told = restore_home(later, story.file, LATER, said.append, yes=True)
    assert history(later) == then
    assert sent(later) == ["first"]
    assert (told.forgotten_ids, told.forgotten_sends) == (1, 1)
    assert told.originals_to_land == 0, "what landed since is in raw still"
    assert [line for line in said if "identity.identity_registry: 2 rows" in line]
    assert is_unfinished(later) and not is_half_restored(later), "the next run must build"
    dbt.build(later, SELECT, *AGAIN, as_of=LATER)
    again = history(later)
    memberships = "audiences.audience_memberships"
    assert again.pop(memberships) == then[memberships] != now.pop(memberships)
    assert again == now
    assert redirects(later) == redirects(story.later)
    assert customers(later) == customers(story.later)


def test_in_a_new_home_the_same_files_are_the_same_customers(
    dbt: Dbt, story: Story, bare: Home
) -> None:
    shutil.copytree(story.saved.archive, bare.archive)
    told = restore_home(bare, story.file, SAVED)
    landed = sorted(path.name for path in bare.landing.rglob("*.csv"))
    assert landed == ["accounts.csv", "copy.csv", "guest.csv", "link.csv"]
    assert (told.originals_to_land, told.originals_missing) == (4, 0)
    assert history(bare) == history(story.saved)
    assert sent(bare) == ["first"]
    dbt.build(bare, SELECT, as_of=SAVED)
    assert customers(bare) == customers(story.saved)
    assert without_build(history(bare)) == without_build(history(story.saved))
    assert redirects(bare) == redirects(story.saved)


def test_originals_that_are_nowhere_are_counted_and_a_second_restore_finds_them(
    story: Story, bare: Home
) -> None:
    assert restore_home(bare, story.file, SAVED).originals_missing == 4
    shutil.copytree(story.saved.archive, bare.archive)
    assert restore_home(bare, story.file, SAVED).originals_to_land == 4


def test_a_home_that_knows_more_is_not_made_to_forget_without_a_yes(
    story: Story, later: Home
) -> None:
    before = files_of(later)
    with pytest.raises(CdpError, match=r"at build 4 of 2026-11-03") as refused:
        restore_home(later, story.file, LATER)
    assert "build 3 of 2026-11-02" in str(refused.value)
    assert "1 customer ids" in str(refused.value) and "1 sends" in str(refused.value)
    assert "--yes" in str(refused.value)
    assert files_of(later) == before


def test_the_saved_moment_restores_without_a_question(story: Story, tmp_path: Path) -> None:
    home = copied(story.saved, tmp_path / "same")
    told = restore_home(home, story.file, SAVED)
    assert (told.forgotten_ids, told.forgotten_sends) == (0, 0)
    assert history(home) == history(story.saved)


def rewritten(file: Path, folder: Path, **changed: bytes | None) -> Path:
    """A copy of a backup with other members, each whole by the zip's own checksum."""
    copy = folder / "rewritten.zip"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = changed.pop(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in changed.items():
            new.writestr(name, content or b"")
    return copy


def flipped(file: Path, folder: Path, member: str) -> Path:
    """A copy of a backup with one bit of a member's bytes turned over."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(member)
    content = bytearray(file.read_bytes())
    name_length = int.from_bytes(
        content[info.header_offset + 26 : info.header_offset + 28], "little"
    )
    start = info.header_offset + 30 + name_length
    content[start + info.compress_size // 2] ^= 1
    copy = folder / "flipped.zip"
    copy.write_bytes(content)
    return copy


REGISTRY = "tables/identity.identity_registry.parquet"


def changed_manifest(file: Path, **given: Any) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return json.dumps({**json.loads(archive.read("manifest.json")), **given}).encode()


def damaged_files(file: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that must not be restored, each with what is said of it."""
    for member in ("manifest.json", REGISTRY, "ledger.sqlite"):
        yield flipped(file, folder, member), "damaged"
    content = file.read_bytes()
    for part in (0.1, 0.5, 0.99):
        (folder / "cut.zip").write_bytes(content[: int(len(content) * part)])
        yield folder / "cut.zip", "its end is missing"
    yield rewritten(file, folder, **{REGISTRY: b"another table"}), "damaged"
    yield rewritten(file, folder, **{REGISTRY: None}), "damaged"
    yield rewritten(file, folder, **{"more.txt": b"x"}), "damaged"
    for wrong in (
        {"build_number": "many"},
        {"tables": []},
        {"members": {"../outside": "0" * 64}},
        {"unheard": "of"},
    ):
        manifest = {"manifest.json": changed_manifest(file, **wrong)}
        yield rewritten(file, folder, **manifest), "damaged"
    newer = {"manifest.json": changed_manifest(file, format_version=2, cdp_version="9.0")}
    yield rewritten(file, folder, **newer), "of format 2, made by version 9.0"
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    yield folder / "other.zip", "is no backup"
    other = {"manifest.json": changed_manifest(file, format="another tool's")}
    yield rewritten(file, folder, **other), "is no backup"
    for text in ("", "id,email\n1,a@example.com\n"):
        (folder / "table.csv").write_text(text)
        yield folder / "table.csv", "is no backup"
    yield folder, "cannot be read"
    yield folder / "nowhere.zip", "cannot be read"


def test_a_file_that_is_not_whole_changes_nothing(
    story: Story, later: Home, tmp_path: Path
) -> None:
    before = files_of(later)
    (tmp_path / "files").mkdir()
    for file, words in damaged_files(story.file, tmp_path / "files"):
        for read in (look_into, lambda file: restore_home(later, file, LATER, yes=True)):
            with pytest.raises(CdpError, match=words) as refused:
                read(file)
            assert file.name in str(refused.value)
    assert files_of(later) == before
    assert not (tmp_path / "outside").exists()


def test_another_installation_is_not_restored_over(story: Story, later: Home, bare: Home) -> None:
    execute(later, "update raw_cdp.installation set salt = 'another'")
    before = files_of(later)
    with pytest.raises(CdpError, match=r"another installation's.*an empty one"):
        restore_home(later, story.file, LATER, yes=True)
    assert files_of(later) == before
    land_waiting(bare)
    with pytest.raises(CdpError, match=r"Restore into an empty home first, then land"):
        restore_home(bare, story.file, SAVED, yes=True)


KILL = """
import os, pathlib, signal, sys
from datetime import date
import orchestration.backup as backup
from orchestration.home import Home
from orchestration.warehouse.duckdb import DuckDbWarehouse

home, file, place = sys.argv[1:]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if place == "warehouse":
    replace = DuckDbWarehouse.replace
    def until_the_map(self, schema, table, data):
        replace(self, schema, table, data)
        if table == "identity_map":
            die()
    DuckDbWarehouse.replace = until_the_map
elif place == "ledger":
    backup.ledger_copy.put_ledger = die
else:
    backup.begin_build = die
backup.restore_home(Home(pathlib.Path(home)), pathlib.Path(file), date(2026, 11, 3), yes=True)
"""


@pytest.mark.parametrize("place", ["warehouse", "ledger", "after the ledger"])
def test_a_restore_that_is_killed_is_refused_by_all_until_one_ends(
    story: Story, later: Home, place: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILL, str(later.root), str(story.file), place],
        cwd=PROJECT,
        env=environment_of(later),
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert history(later) == history(story.later if place == "warehouse" else story.saved)
    assert sent(later) == (["first"] if place == "after the ledger" else ["first", "second"])
    for use in (lambda: hold_lock(later, "run").__enter__(), lambda: Ledger.open(later)):
        with pytest.raises(CdpError, match=rf"cut short.*cdp restore {story.file}"):
            use()
    restore_home(later, story.file, LATER, yes=True)
    assert history(later) == history(story.saved) and sent(later) == ["first"]
    with hold_lock(later, "run"), Ledger.open(later):
        assert not is_half_restored(later)
    assert [path.name for path in later.scratch.iterdir()] == []


def test_a_fault_before_anything_is_in_place_leaves_the_home_as_it_was(
    story: Story, later: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("orchestration.warehouse.duckdb.DuckDbWarehouse.replace", full)
    with pytest.raises(OSError, match="no room"):
        restore_home(later, story.file, LATER, yes=True)
    assert history(later) == history(story.later) and sent(later) == ["first", "second"]
    assert not is_half_restored(later)


def test_a_send_in_progress_is_waited_for(story: Story, later: Home) -> None:
    with Ledger.open(later) as ledger:
        assert ledger.acquire_lease("sync_email__welcome", datetime.now(UTC))
        with pytest.raises(CdpError, match="sync_email__welcome is being sent"):
            restore_home(later, story.file, LATER, yes=True)
        assert not is_half_restored(later)
        ledger.release_lease()
    restore_home(later, story.file, LATER, yes=True)


def test_a_table_that_came_later_had_no_rows_then(
    story: Story, later: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(later, "create table identity.households as select 'a' as household_id")
    known = [("identity", "households"), ("identity", "never_built")]
    monkeypatch.setattr("orchestration.backup.history_tables", lambda _: known)
    restore_home(later, story.file, LATER, yes=True)
    assert query(later.warehouse, "select * from identity.households") == []


def test_a_ledger_is_restored_with_its_keys_or_not_at_all(
    story: Story, manifest_home: Home, tmp_path: Path
) -> None:
    def new_home(name: str) -> Home:
        home = Home(tmp_path / name).ensure()
        give_manifest(manifest_home, home)
        return home

    with pytest.raises(CdpError, match=r"written with CDP_ID_PEPPER.*--without-ledger"):
        restore_home(new_home("none"), story.file, SAVED)
    other = new_home("other")
    shutil.copy(make_home(tmp_path / "keys").secrets_file, other.secrets_file)
    with pytest.raises(CdpError, match="CDP_ID_PEPPER is not the one"):
        restore_home(other, story.file, SAVED)
    restore_home(other, story.file, SAVED, with_ledger=False)
    assert history(other) == history(story.saved) and not other.ledger.exists()

    keyed = backup_home(story.saved, tmp_path / "keyed.zip", SAVED, with_keys=True)
    assert keyed.contents.has_keys and not look_into(story.file).contents.has_keys
    home = new_home("given")
    restore_home(home, keyed.path, SAVED)
    assert home.secrets_file.read_text() == story.saved.secrets_file.read_text()
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.ledger.stat().st_mode) == 0o600
    with Ledger.open(home):
        assert sent(home) == ["first"]


def test_a_broken_ledger_is_put_back_once_that_is_agreed(story: Story, later: Home) -> None:
    for path in later.state.glob("activation.sqlite*"):
        path.unlink()
    later.ledger.write_bytes(b"not a database" * 1000)
    with pytest.raises(CdpError, match="its ledger cannot be read"):
        restore_home(later, story.file, LATER)
    restore_home(later, story.file, LATER, yes=True)
    assert sent(later) == ["first"]


def test_a_broken_warehouse_is_named_and_a_lost_one_is_made_anew(
    story: Story, tmp_path: Path
) -> None:
    home = copied(story.saved, tmp_path / "broken")
    home.warehouse.write_bytes(b"not a database" * 1000)
    with pytest.raises(CdpError, match=r"warehouse.duckdb cannot be opened. Move it aside"):
        restore_home(home, story.file, SAVED)
    home.warehouse.unlink()
    assert restore_home(home, story.file, SAVED).originals_to_land == 4
    assert history(home) == history(story.saved)


def test_a_backup_taken_while_a_send_writes_is_of_one_moment(story: Story, tmp_path: Path) -> None:
    home = copied(story.saved, tmp_path / "sending")
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as writing:
        writing.execute("begin immediate")
        writing.execute("update outbox set state = 'dead'")
        writing.execute("delete from delivered")
        made = backup_home(home, tmp_path, SAVED)
        writing.execute("rollback")
    assert made.contents.deliveries == 1


def test_what_cannot_be_saved_says_why(story: Story, empty_home: Home, tmp_path: Path) -> None:
    def refused(home: Home, target: Path, words: str) -> None:
        with pytest.raises(CdpError, match=words):
            backup_home(home, target, SAVED)

    file = tmp_path / "backup.zip"
    refused(Home(tmp_path / "nowhere"), file, "no finished build")
    assert not (tmp_path / "nowhere").exists()
    refused(empty_home, file, "no finished build")
    refused(story.saved, story.file, "exists already")
    refused(story.saved, tmp_path / "folder" / "file.zip", "There is no folder")
    begin_build(story.saved)
    refused(story.saved, file, "did not finish")
    end_build(story.saved)
    assert not file.exists()


def test_a_backup_that_fails_leaves_no_part_of_it(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("orchestration.backup.zipfile.ZipFile.write", full)
    with pytest.raises(OSError, match="no room"):
        backup_home(story.saved, tmp_path, SAVED)
    assert list(tmp_path.iterdir()) == []
    assert list(story.saved.scratch.iterdir()) == []


def test_a_backup_waits_for_the_build_that_holds_the_warehouse(
    story: Story, tmp_path: Path
) -> None:
    with another_holder(story.saved, 1.0):
        with pytest.raises(LockHeld):
            backup_home(story.saved, tmp_path, SAVED)
        made = backup_home(story.saved, tmp_path, SAVED, wait_seconds=20)
    assert made.size_bytes > 0


def test_the_command_line_saves_looks_and_restores(
    story: Story, bare: Home, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    ended = cdp(story.saved, "backup", str(folder), "--json", as_of=SAVED)
    assert ended.returncode == 0, ended.stderr
    assert "identity.identity_map: 5 rows" in ended.stderr
    told = json.loads(ended.stdout)
    file = Path(told["file"])
    assert file.parent == folder and file.name.startswith(f"cdp-backup-{datetime.now(UTC):%Y-%m}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (told["as_of_date"], told["build_number"], told["customers"]) == ("2026-11-02", 3, 1)
    assert [path.name for path in folder.iterdir()] == [file.name]
    looked = cdp(bare, "restore", str(file), "--check")
    assert looked.returncode == 0 and "Whole: " in looked.stdout and "1 customers" in looked.stdout
    assert not bare.warehouse.exists()
    ended = cdp(bare, "restore", str(file), as_of=SAVED)
    assert ended.returncode == 0, ended.stderr
    assert "1 customers as of 2026-11-02, build 3" in ended.stdout
    assert "copy the old home's archive/ here" in ended.stdout
    assert history(bare) == history(story.saved)
    ended = cdp(bare, "restore", str(tmp_path / "none.zip"))
    assert ended.returncode == 1 and "Traceback" not in ended.stderr


def test_a_backup_names_every_history_table(story: Story, manifest: dict[str, Any]) -> None:
    expected = {
        f"{node['config']['schema']}.{node['name']}"
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["config"]["full_refresh"] is False
    }
    made: Backup = look_into(story.file)
    found = {f"{table.layer}.{table.name}" for table in made.contents.tables}
    assert found == expected | {"raw_cdp.installation"}
    assert made.contents.as_of_date == date(2026, 11, 2)
