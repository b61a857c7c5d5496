"""`cdp backup` and `cdp restore`: what cannot be made again from landed files, as one file.

The salt, the registry and the other history tables, the ledger and the few files that must agree
with them are saved and put back together: a registry without its ledger would send to people anew,
a ledger without its registry would not know them. Raw rows are not among them; `archive/` holds
the originals they are made of.

The file is a zip of one Parquet file a table, the ledger, and a `manifest.json` that says what
each member is and its SHA-256. Every one is read and compared before anything is touched.
"""

import hashlib
import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.build_state import (
    begin_build,
    begin_restore,
    end_restore,
    is_half_restored,
    is_unfinished,
)
from orchestration.errors import CdpError, MissingSetting
from orchestration.home import KEYS, Home, read_secret
from orchestration.landing.store import LANDING
from orchestration.lock import RESTORE, hold_lock
from orchestration.project import ensure_manifest
from orchestration.syncs import ledger_copy
from orchestration.syncs.ledger import Keys
from orchestration.warehouse.base import Warehouse
from orchestration.warehouse.connect import (
    has_landed,
    installation_of,
    open_warehouse,
    remember_installation,
    settled_engine,
)
from orchestration.warehouse.history import (
    INSTALLATION,
    REGISTRY,
    history_tables,
    newest_build,
)

FORMAT = "cdp-backup"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
LEDGER = "ledger.sqlite"
SECRETS = "keys.env"
ORIGINALS = "originals.parquet"
# Put back only where the home has none of its own.
TOMBSTONES = ("state/privacy/tombstones.json", "state/privacy/requests.json")
STATE_FILES = (
    "state/pepper.fingerprint",
    "state/demo.json",
    "sources.yml",
    "connections.yml",
    *TOMBSTONES,
)
OTHER_MEMBERS = (LEDGER, SECRETS, ORIGINALS, *STATE_FILES)
CHUNK_BYTES = 1 << 20
BACKUPS = "backups.json"

Progress = Callable[[str], None]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SavedTable(_Record):
    """A table in a backup; its types are spelled as the engine spelled them that saved it."""

    layer: str
    name: str
    rows: int
    columns: dict[str, str]

    @property
    def member(self) -> str:
        return f"tables/{self.layer}.{self.name}.parquet"


class Contents(_Record):
    """The manifest of a backup."""

    format: str
    format_version: int
    cdp_version: str
    made_at: datetime
    engine: str
    # A hash of the salt.
    installation: str
    as_of_date: date
    build_number: int
    customers: int
    # None where nothing was ever sent.
    deliveries: int | None
    tables: list[SavedTable]
    # Every member's SHA-256.
    members: dict[str, str]

    @property
    def has_keys(self) -> bool:
        return SECRETS in self.members

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True)
class Backup:
    """A backup that was made or looked at."""

    path: Path
    size_bytes: int
    contents: Contents


@dataclass(frozen=True)
class Restored:
    """What a restore put back, and what it made the home forget."""

    contents: Contents
    forgotten_ids: int
    forgotten_sends: int
    originals_to_land: int
    originals_missing: int


def backup_home(
    home: Home,
    target: Path,
    as_of: date,
    progress: Progress = lambda line: None,
    with_keys: bool = False,
    wait_seconds: float = 0,
) -> Backup:
    """Save the home's history, ledger and state into one file, or one in the folder given."""
    none_yet = CdpError("This home has no finished build, so nothing to save: `cdp run` first.")
    if settled_engine(home) is None:
        raise none_yet
    made_at = datetime.now(UTC)
    path = _target(target, made_at)
    with hold_lock(home, "backup", wait_seconds, progress):
        if is_unfinished(home):
            raise CdpError("The last build did not finish: `cdp run` first, then back up.")
        manifest = ensure_manifest(home, as_of, progress)
        with open_warehouse(home, read_only=True) as warehouse, _workshop(home) as folder:
            warehouse.recover()
            build, installation = newest_build(warehouse), installation_of(warehouse)
            if build is None or installation is None:
                raise none_yet
            names = [*history_tables(manifest), INSTALLATION]
            tables = [
                _save(warehouse, folder, layer, name, progress)
                for layer, name in names
                if warehouse.columns(layer, name)
            ]
            _save_originals(warehouse, folder)
            deliveries = _save_state(home, folder, with_keys)
            contents = Contents(
                format=FORMAT,
                format_version=FORMAT_VERSION,
                cdp_version=version("composable-cdp"),
                made_at=made_at,
                engine=warehouse.engine,
                installation=installation,
                as_of_date=build.as_of,
                build_number=build.number,
                customers=_count_customers(warehouse),
                deliveries=deliveries,
                tables=tables,
                members=_hashes(folder),
            )
            _remember(home, path)
            _write_file(path, folder, contents)
    return Backup(path, path.stat().st_size, contents)


def known_backups(home: Home) -> list[Path]:
    """Backups that this home made and that are still where they were put."""
    listed = home.state / BACKUPS
    made = json.loads(listed.read_text()) if listed.exists() else []
    return [Path(each) for each in made if Path(each).is_file()]


def _remember(home: Home, path: Path) -> None:
    """An erasure must find the backups that hold the person."""
    known = [str(each) for each in known_backups(home)]
    if str(path.absolute()) not in known:
        known.append(str(path.absolute()))
    fresh = home.state / f"{BACKUPS}.new"
    fresh.write_text(json.dumps(known, indent=1))
    fresh.replace(home.state / BACKUPS)


# Given the folder with a backup's parts, changes them; the tables as they are then, None for as
# they were.
Change = Callable[[Path, list[SavedTable]], list[SavedTable] | None]


def rewrite_backup(home: Home, file: Path, change: Change) -> bool:
    """Change what a backup of this home holds, in one step; False where nothing was to change.

    The caller holds the home's lock.
    """
    with _opened(file) as (archive, contents), _workshop(home) as folder:
        kept = home.state / "installation"
        if not kept.exists() or kept.read_text() != contents.installation:
            raise CdpError(f"{file.name} is another installation's; nothing in it was changed.")
        _read_members(file, archive, contents, folder)
        tables = change(folder, contents.tables)
        if tables is None:
            return False
        ledger = _ledger(folder)
        changed = contents.model_copy(
            update={
                "tables": tables,
                "deliveries": None if ledger is None else ledger_copy.count_deliveries(ledger),
                "members": _hashes(folder),
            }
        )
        _write_file(file, folder, changed)
    return True


def look_into(file: Path) -> Backup:
    """What a backup holds, once every member was read and found whole."""
    with _opened(file) as (archive, contents):
        _read_members(file, archive, contents, None)
    return Backup(file, file.stat().st_size, contents)


def restore_home(
    home: Home,
    file: Path,
    as_of: date,
    progress: Progress = lambda line: None,
    yes: bool = False,
    with_ledger: bool = True,
    wait_seconds: float = 0,
) -> Restored:
    """Make a home's history, ledger and state what they were when a backup was made.

    `yes` lets a home forget what it learnt since. A home without a warehouse gets one. Without
    the ledger the home's own stays as it is.
    """
    with (
        hold_lock(home, RESTORE, wait_seconds, progress),
        _opened(file) as (archive, contents),
        _workshop(home) as folder,
    ):
        _read_members(file, archive, contents, folder)
        progress(f"{file.name}: {len(contents.members)} parts, all whole")
        ledger = _ledger(folder) if with_ledger else None
        keys = _missing_keys(home, folder, ledger)
        home.ensure()
        manifest = ensure_manifest(home, as_of, progress)
        with _warehouse_to_restore(home) as warehouse:
            warehouse.recover()
            _refuse_strangers(warehouse, contents)
            sends = ledger_copy.sent_since(home.ledger, ledger) if with_ledger else 0
            ids = _forgotten(warehouse, folder, sends, contents, yes)
            contents = _without_erased(home, folder, contents)
            _put_back(home, warehouse, file, folder, contents, history_tables(manifest), progress)
            remember_installation(home, warehouse)
            _put_back_state(home, folder, keys, with_ledger)
            if with_ledger:
                ledger_copy.put_ledger(ledger, home.ledger)
            # What the warehouse holds besides is of another moment: it is built anew.
            begin_build(home)
            end_restore(home)
            to_land, missing = _put_back_originals(home, warehouse, folder)
    return Restored(contents, ids, sends or 0, to_land, missing)


# Saving -------------------------------------------------------------------------------------


def _target(target: Path, made_at: datetime) -> Path:
    if target.is_dir():
        target = target / f"cdp-backup-{made_at:%Y-%m-%d-%H%M%S}.zip"
    if target.exists():
        raise CdpError(f"{target.name} exists already; give another name, or a folder.")
    if not target.parent.is_dir():
        raise CdpError(f"There is no folder {target.parent}; make it first.")
    return target


@contextmanager
def _workshop(home: Home) -> Iterator[Path]:
    """A folder of the home for parts; what a killed command left in it is gone. Within the lock."""
    folder = home.scratch / "backup"
    shutil.rmtree(folder, ignore_errors=True)
    home.scratch.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _save(
    warehouse: Warehouse, folder: Path, layer: str, name: str, progress: Progress
) -> SavedTable:
    place, columns = warehouse.place(layer, name), warehouse.columns(layer, name)
    path = folder / SavedTable(layer=layer, name=name, rows=0, columns={}).member
    path.parent.mkdir(exist_ok=True)
    warehouse.export_parquet(f"select * from {place}", path)
    rows = int(pq.read_metadata(path).num_rows)
    progress(f"{layer}.{name}: {rows:,} rows")
    return SavedTable(layer=layer, name=name, rows=rows, columns=columns)


def _save_originals(warehouse: Warehouse, folder: Path) -> None:
    """Which archived file stands for each landed name: a landing from nothing starts with them."""
    if warehouse.columns(LANDING, "loads"):
        query = f"""
            select source, file, archived_as
            from (
                select
                    source,
                    file,
                    archived_as,
                    row_number() over (partition by source, file order by load_id desc) as place
                from {warehouse.place(LANDING, "loads")}
                where status in ('loaded', 'duplicate')
            ) as loads
            where place = 1 and archived_as is not null
        """
        warehouse.export_parquet(query, folder / ORIGINALS)


def _save_state(home: Home, folder: Path, with_keys: bool) -> int | None:
    for name in STATE_FILES:
        if (home.root / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(home.root / name, folder / name)
    if with_keys:
        lines = [f"{name}={read_secret(home, name)}\n" for name in KEYS]
        (folder / SECRETS).write_text("".join(lines))
    if not home.ledger.exists() or home.ledger.stat().st_size == 0:
        return None
    ledger_copy.copy_ledger(home.ledger, folder / LEDGER)
    return ledger_copy.count_deliveries(folder / LEDGER)


def _count_customers(warehouse: Warehouse) -> int:
    registry = warehouse.place(*REGISTRY)
    found = warehouse.rows(f"select count(*) from {registry} where status = 'active'")
    return int(found[0][0])


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found


def _write_file(path: Path, folder: Path, contents: Contents) -> None:
    """Under another name until it is whole and on disk; readable by its owner alone."""
    partial = path.with_name(f".cdp-backup-{contents.installation}.part")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            # Parquet is compressed already.
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                for member in contents.members:
                    archive.write(folder / member, member)
                archive.writestr(MANIFEST, contents.model_dump_json(indent=2))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# Reading ------------------------------------------------------------------------------------


@contextmanager
def _opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Contents]]:
    foreign = CdpError(f"{file.name} is no backup: give a file that `cdp backup` made.")
    try:
        archive = zipfile.ZipFile(file)
    except OSError as error:
        raise CdpError(f"{file.name} cannot be read: {error.strerror}.") from error
    except zipfile.BadZipFile as error:
        # The directory of a zip is its end.
        with file.open("rb") as stream:
            is_zip = stream.read(4) == b"PK\x03\x04"
        raise (_damaged(file, "its end is missing") if is_zip else foreign) from error
    with archive:
        try:
            told = json.loads(archive.read(MANIFEST))
        except KeyError as error:
            raise foreign from error
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
            raise _damaged(file, MANIFEST) from error
        yield archive, _contents(file, told, foreign)


def _contents(file: Path, told: Any, foreign: CdpError) -> Contents:
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise foreign
    if told.get("format_version") != FORMAT_VERSION:
        raise CdpError(
            f"{file.name} is of format {told.get('format_version')}, made by version "
            f"{told.get('cdp_version')}; this version reads format {FORMAT_VERSION}. "
            "Restore it with that version, then build with this one."
        )
    try:
        contents = Contents.model_validate(told)
    except ValidationError as error:
        raise _damaged(file, MANIFEST) from error
    known = {table.member for table in contents.tables}
    words = [word for table in contents.tables for word in (table.layer, table.name)]
    is_odd = not all(re.fullmatch(r"\w+", word) for word in words)
    if is_odd or not known <= set(contents.members) <= known.union(OTHER_MEMBERS):
        raise _damaged(file, MANIFEST)
    return contents


def _read_members(
    file: Path, archive: zipfile.ZipFile, contents: Contents, folder: Path | None
) -> None:
    """Compare every member with its hash, and lay it into the folder if one is given."""
    if set(archive.namelist()) != {*contents.members, MANIFEST}:
        raise _damaged(file, "its list of parts")
    for member, expected in contents.members.items():
        path = Path(os.devnull) if folder is None else folder / member
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with archive.open(member) as source, path.open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise _damaged(file, member) from error
        if digest.hexdigest() != expected:
            raise _damaged(file, member)


def _damaged(file: Path, what: str) -> CdpError:
    return CdpError(
        f"{file.name} is damaged ({what}); nothing was changed. Copy it again from where it is "
        "kept, or restore an earlier backup."
    )


# Putting back -------------------------------------------------------------------------------


def _without_erased(home: Home, folder: Path, contents: Contents) -> Contents:
    """A backup of before an erasure, without whom the home's tombstones know."""
    if not (home.root / TOMBSTONES[0]).exists():
        return contents
    from orchestration.privacy.backups import without_erased

    return contents.model_copy(update={"tables": without_erased(home, folder, contents.tables)})


def _ledger(folder: Path) -> Path | None:
    path = folder / LEDGER
    return path if path.exists() else None


def _missing_keys(home: Home, folder: Path, ledger: Path | None) -> dict[str, str]:
    """The keys to add to this home; refuses a ledger that the home's keys cannot read."""
    saved: dict[str, str] = {}
    if (folder / SECRETS).exists():
        lines = (folder / SECRETS).read_text().splitlines()
        saved = {name: value for name, _, value in (line.partition("=") for line in lines)}
    keys: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in KEYS:
        try:
            keys[name] = read_secret(home, name)
        except MissingSetting:
            if name in saved:
                keys[name] = missing[name] = saved[name]
    if ledger is None:
        return missing
    lost = "if it is lost, --without-ledger restores the rest, and syncs begin anew"
    for name in KEYS:
        if name not in keys:
            raise CdpError(
                f"The ledger in this backup was written with {name}, which this home has not. Set "
                f"it, or put the old home's {home.secrets_file.name} into {home.state.name}/; "
                f"{lost}."
            )
    known = ledger_copy.fingerprints(ledger)
    for name, found in Keys(*(keys[name] for name in KEYS)).fingerprints.items():
        if known.get(name, found) != found:
            raise CdpError(
                f"{name} is not the one that the ledger in this backup was written with. Give the "
                f"former value back; {lost}."
            )
    return missing


def _warehouse_to_restore(home: Home) -> Warehouse:
    try:
        return open_warehouse(home)
    except duckdb.Error as error:
        raise CdpError(
            f"{home.warehouse.name} cannot be opened. Move it aside and restore again: originals "
            "in archive/ are then landed and all is built anew."
        ) from error


def _refuse_strangers(warehouse: Warehouse, contents: Contents) -> None:
    found = installation_of(warehouse)
    if found in (None, contents.installation):
        return
    if newest_build(warehouse) is None:
        raise CdpError(
            "This home landed files before its backup was restored, and so has a salt of its own "
            "already. Restore into an empty home first, then land."
        )
    raise CdpError(
        "This backup is another installation's: every customer_id would change. Restore it into "
        "that home, or into an empty one (`cdp --home FOLDER restore …`)."
    )


def _forgotten(
    warehouse: Warehouse, folder: Path, sends: int | None, contents: Contents, yes: bool
) -> int:
    """How many ids the home knows and the backup does not; what is newer is refused without a yes.

    `sends` are those that the ledger knows beyond the backup; None where it cannot be read.
    """
    present = newest_build(warehouse)
    ids = 0 if present is None else _count_unknown_ids(warehouse, folder, contents)
    newer = present and (
        present.number > contents.build_number or present.as_of > contents.as_of_date
    )
    if (newer or ids or sends != 0) and not yes:
        told = [] if present is None else [f"it is at build {present.number} of {present.as_of}"]
        told.append(f"the backup at build {contents.build_number} of {contents.as_of_date}")
        lost = [f"{ids:,} customer ids issued since would be forgotten"]
        if sends is None:
            lost.append("its ledger cannot be read")
        elif sends:
            lost.append(f"{sends:,} sends since would be forgotten and could be made again")
        raise CdpError(
            f"This home knows more than the backup ({', '.join(told)}): {'; '.join(lost)}. "
            "Give --yes to restore all the same; `cdp backup` before it keeps a way back."
        )
    return ids


def _count_unknown_ids(warehouse: Warehouse, folder: Path, contents: Contents) -> int:
    saved = next(table for table in contents.tables if (table.layer, table.name) == REGISTRY)
    known = pq.read_table(folder / saved.member, columns=["customer_id"])
    with warehouse.visiting("known_ids", known):
        found = warehouse.rows(
            f"select count(*) from {warehouse.place(*REGISTRY)} as registry "
            "left join known_ids on registry.customer_id = known_ids.customer_id "
            "where known_ids.customer_id is null"
        )
    return int(found[0][0])


def _put_back(
    home: Home,
    warehouse: Warehouse,
    file: Path,
    folder: Path,
    contents: Contents,
    history: list[tuple[str, str]],
    progress: Progress,
) -> None:
    """Every table within one transaction; from here on a kill leaves a home that says so."""
    for table in contents.tables:
        warehouse.ensure_table(table.layer, table.name, table.columns)
    saved = {(table.layer, table.name) for table in contents.tables}
    # A table that came later had no rows then.
    later = [name for name in history if name not in saved and warehouse.columns(*name)]
    is_past_return = is_half_restored(home)
    begin_restore(home, file)
    try:
        sending = ledger_copy.running_syncs(home.ledger, datetime.now(UTC))
        if sending:
            raise CdpError(f"{', '.join(sending)} is being sent; wait for it to end.")
        with warehouse.transaction():
            for table in contents.tables:
                data = pq.read_table(folder / table.member)
                warehouse.replace(table.layer, table.name, data)
                progress(f"{table.layer}.{table.name}: {table.rows:,} rows")
            for layer, name in later:
                warehouse.replace(layer, name, pa.table({}))
            is_past_return = True
    except BaseException:
        if not is_past_return:
            end_restore(home)
        raise


def _put_back_state(home: Home, folder: Path, keys: dict[str, str], with_ledger: bool) -> None:
    if keys:
        descriptor = os.open(home.secrets_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.writelines(f"{name}={value}\n" for name, value in keys.items())
    for name in STATE_FILES:
        # Whoever has lost the keys begins with new ones.
        is_keyed = name in ("state/pepper.fingerprint", *TOMBSTONES)
        is_of_lost_keys = is_keyed and not with_ledger
        target = home.root / name
        if (folder / name).exists() and not target.exists() and not is_of_lost_keys:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(folder / name, target)


def _put_back_originals(home: Home, warehouse: Warehouse, folder: Path) -> tuple[int, int]:
    """Archived files back under the names they landed by, where nothing has landed yet.

    Which file replaces which, and the keys of rows without one, depend on these names. The first
    number is that of files that wait in landing now, the second of those that are nowhere.
    """
    if not (folder / ORIGINALS).exists() or has_landed(warehouse):
        return 0, 0
    waiting = missing = 0
    for row in pq.read_table(folder / ORIGINALS).to_pylist():
        archived = home.archive / row["archived_as"]
        target = home.landing / row["source"] / row["file"]
        if ".." in (*archived.parts, *target.parts):
            continue
        if not target.exists() and archived.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(archived, target)
        if target.exists():
            waiting += 1
        else:
            missing += 1
    return waiting, missing
