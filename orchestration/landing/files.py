"""Find the files that are ready, leave the others alone, and archive the loaded ones."""

import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.landing.readers import SUFFIXES

UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")
REFUSED_STATE = "landing_refused.json"
# A Parquet file ends with its mark; one without it after this long is broken, not in writing.
PARQUET_PATIENCE_SECONDS = 60.0


def quiet_seconds() -> float:
    """How long a file must have been left alone before it counts as whole."""
    given = os.environ.get("CDP_QUIET_SECONDS", "1.0")
    try:
        return max(0.0, float(given))
    except ValueError as error:
        raise CdpError(f"CDP_QUIET_SECONDS is {given!r}; write a number of seconds.") from error


@dataclass(frozen=True)
class Stamp:
    """What changes when somebody writes to a file or replaces it."""

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Stamp | None":
        """The file's stamp now; None if it is gone."""
        try:
            found = path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class Candidate:
    """A file in a table's folder."""

    source: str
    table: str
    path: Path
    file: str
    stamp: Stamp

    @property
    def name(self) -> str:
        """The file's name in the archive: folders below the table's become part of it."""
        return self.file.split("/", 1)[1].replace("/", "__")


@dataclass
class Scan:
    """What lies in landing."""

    candidates: list[Candidate] = field(default_factory=list)
    waiting: list[Candidate] = field(default_factory=list)
    links: list[Candidate] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def scan(landing: Path) -> Scan:
    """Every file below landing, in a fixed order; links are never followed."""
    found = Scan()
    if not landing.exists():
        return found
    root = landing.resolve()
    for folder, folders, names in os.walk(root, followlinks=False):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in list(folders):
            if (here / name).is_symlink():
                folders.remove(name)
                names.append(name)
        for name in sorted(names):
            if not _hidden(name) and not name.lower().endswith(UNFINISHED):
                _place(found, root, here / name)
    found.candidates.sort(key=lambda candidate: (candidate.source, candidate.file))
    return found


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _place(found: Scan, root: Path, path: Path) -> None:
    parts = path.relative_to(root).parts
    shown = "/".join(parts)
    stamp = Stamp.of(path)
    if stamp is None:
        return
    if path.is_symlink():
        source, table = (*parts, "", "")[:2]
        found.links.append(Candidate(source, table, path, "/".join(parts[1:]) or shown, stamp))
    elif not path.is_file():
        found.unknown.append(f"{shown}: no regular file")
    elif len(parts) < 3:
        found.unknown.append(f"{shown}: put files in landing/<source>/<table>/")
    elif path.suffix.lower() not in SUFFIXES:
        found.unknown.append(f"{shown}: unknown ending; use {', '.join(SUFFIXES)}")
    else:
        found.candidates.append(Candidate(parts[0], parts[1], path, "/".join(parts[1:]), stamp))


def settle(found: Scan, quiet: float) -> None:
    """Wait once for all young files; those that still change are left for the next run."""

    def age(candidate: Candidate) -> float:
        return time.time() - candidate.stamp.modified / 1e9

    young = [candidate for candidate in found.candidates if age(candidate) < quiet]
    if young:
        # A clock ahead of ours gives a negative age; never wait longer than the setting.
        time.sleep(max(0.0, min(quiet, quiet - min(age(candidate) for candidate in young))))
    moved = [candidate for candidate in young if Stamp.of(candidate.path) != candidate.stamp]
    for candidate in found.candidates:
        if candidate not in moved and _open_parquet(candidate, age(candidate)):
            moved.append(candidate)
    found.waiting += moved
    gone = {candidate.path for candidate in moved}
    found.candidates = [each for each in found.candidates if each.path not in gone]


def _open_parquet(candidate: Candidate, age: float) -> bool:
    if candidate.path.suffix.lower() != ".parquet" or age >= PARQUET_PATIENCE_SECONDS:
        return False
    try:
        with candidate.path.open("rb") as file:
            file.seek(max(0, candidate.stamp.size - 4))
            return file.read(4) != b"PAR1"
    except FileNotFoundError:
        return True


class RefusedFiles:
    """Remembers refused files, so that they are told each run and read again only if changed."""

    def __init__(self, home: Home) -> None:
        self.path = home.state / REFUSED_STATE
        self.known: dict[str, dict[str, object]] = {}
        if self.path.exists():
            try:
                self.known = json.loads(self.path.read_text(encoding="utf-8"))
            except ValueError:
                # Only a cache: the loads table holds the record, the file is read once more.
                self.known = {}

    def find(
        self, name: str, stamp: Stamp, fingerprint: str | None = None
    ) -> tuple[str, str] | None:
        """(rule, message) if this very file was refused under this declaration."""
        entry = self.known.get(name)
        if entry is None or entry["stamp"] != [stamp.size, stamp.modified, stamp.inode]:
            return None
        if fingerprint is not None and entry["fingerprint"] != fingerprint:
            return None
        return str(entry["rule"]), str(entry["message"])

    def add(self, name: str, stamp: Stamp, fingerprint: str, rule: str, message: str) -> None:
        """Remember a refused file."""
        self.known[name] = {
            "stamp": [stamp.size, stamp.modified, stamp.inode],
            "fingerprint": fingerprint,
            "rule": rule,
            "message": message,
        }

    def save(self, present: Iterable[str]) -> None:
        """Write the files that are still there."""
        kept = set(present)
        self.known = {name: entry for name, entry in self.known.items() if name in kept}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.known, indent=1, sort_keys=True), encoding="utf-8")
        fresh.replace(self.path)


def pending_files(home: Home) -> list[Path]:
    """Files that a landing would look at now: fast, without reading any of them."""
    refused = RefusedFiles(home)
    return [
        candidate.path
        for candidate in scan(home.landing).candidates
        if refused.find(f"{candidate.source}/{candidate.file}", candidate.stamp) is None
    ]


def archive_path(home: Home, candidate: Candidate, content_hash: str) -> Path:
    """Where the original goes."""
    folder = home.archive / candidate.source / candidate.table
    return folder / f"{content_hash[:12]}-{candidate.name}"


def move_to_archive(path: Path, target: Path) -> None:
    """Move an original that is committed; an archived copy of it already there is kept."""
    if target.exists():
        path.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.rename(target)
    except OSError:
        # Another filesystem: copy whole, then make it visible, then drop the original.
        partial = target.with_name(f".{target.name}.part")
        shutil.copy2(path, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
        path.unlink()
