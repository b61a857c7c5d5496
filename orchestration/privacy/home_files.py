"""A home's other files without a person: logs, reports, runs, what a killed command left.

They are not meant to hold personal data, and are looked through all the same: a name in an error
of some tool is enough.
"""

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestration.home import Home
from orchestration.privacy.person import Person
from orchestration.privacy.rows import Needles
from orchestration.privacy.texts import is_sqlite, text_of, without_lines, without_sqlite_rows
from orchestration.privacy.warehouse import Counts

# Kept line by line; any other file that names the person is removed, and made again when needed.
TEXTS = (".log", ".txt", ".csv", ".jsonl", ".out", ".err")
OWN_KEEPERS = ("activation.sqlite", "secrets.env")
# What requests keep holds hashes, or is encrypted.
OWN_FOLDER = "privacy"


def clean_files(home: Home, person: Person, needles: Needles) -> list[Counts]:
    """Look through all files of a home that no other step has cleaned."""
    shutil.rmtree(home.scratch / "privacy_spill", ignore_errors=True)

    def is_named(text: str) -> bool:
        return bool(needles.found_in(text))

    found = [_clean_truth(home, person, is_named)]
    for folder in (
        home.root / "access",
        home.root / "logs",
        home.dbt_target,
        home.dagster,
        home.reports,
        home.scratch,
    ):
        found.append(_clean_folder(folder, is_named))
    found.append(_clean_folder(home.state, is_named))
    return [counts for counts in found if counts.found]


def _clean_folder(folder: Path, is_named: Callable[[str], bool]) -> Counts:
    counts = Counts(folder.name)
    for path in _files(folder):
        if is_sqlite(path):
            counts.removed += without_sqlite_rows(path, is_named)
        elif is_named(text_of(path)):
            partial = path.with_name(f".{path.name}.part")
            if path.suffix in TEXTS and (removed := without_lines(path, partial, is_named)):
                partial.chmod(path.stat().st_mode & 0o777)
                partial.replace(path)
                counts.removed += removed
            else:
                path.unlink()
                counts.removed += 1
    counts.found = counts.removed
    return counts


def _files(folder: Path) -> Iterator[Path]:
    if not folder.exists():
        return
    for path in sorted(folder.rglob("*")):
        is_beside = path.name.endswith(("-wal", "-shm"))
        is_ours = path.name.startswith(OWN_KEEPERS) or path.parent.name == OWN_FOLDER
        if path.is_file() and not path.is_symlink() and not is_beside and not is_ours:
            yield path


def _clean_truth(home: Home, person: Person, is_named: Callable[[str], bool]) -> Counts:
    """Who is who in the demo's sample: rows of the person's identifiers and records."""
    counts = Counts("truth")
    for path in sorted(home.truth.glob("*.csv")) if home.truth.exists() else []:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        kept = [
            row
            for row in rows
            if tuple(row[:2]) not in person.identifiers
            and (".".join(row[:2]), row[2] if len(row) > 2 else "") not in person.records
            and not is_named(",".join(row))
        ]
        if len(kept) < len(rows):
            partial = path.with_name(f".{path.name}.part")
            with partial.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(kept)
            partial.replace(path)
            counts.removed += len(rows) - len(kept)
    counts.found = counts.removed
    return counts
