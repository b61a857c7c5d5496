"""Landed files, archived and waiting: rewritten without a person, others' rows as they were."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import duckdb

from orchestration.home import Home
from orchestration.landing.declarations import Source, Table
from orchestration.landing.files import UNFINISHED, Stamp
from orchestration.landing.readers import SUFFIXES, Refused
from orchestration.privacy.files import marks_of_file, write_without
from orchestration.privacy.person import Person
from orchestration.privacy.raw import RawFinder, names
from orchestration.privacy.texts import without_lines
from orchestration.privacy.warehouse import Counts

BINARY = (".parquet", ".zip", ".gz", ".xls", ".xlsx", ".bz2", ".zst", ".7z")


def clean_landed(
    home: Home,
    folder: Path,
    declarations: Mapping[str, Source],
    person: Person,
    progress: Callable[[str], None],
) -> list[Counts]:
    """Take a person out of every file below a folder of `<source>/<table>/` files."""
    found: dict[str, Counts] = {}
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        raw = RawFinder.on(connection, declarations)
        finder = raw.finder(person)
        needles = raw.needles(person)
        values = {value for _, value in person.identifiers}
        files = _files(folder, declarations, is_archive=folder == home.archive)
        for number, (path, table) in enumerate(files, start=1):
            label = table.label if table else "files of no declared table"
            counts = found.setdefault(label, Counts(f"{folder.name}/{label}"))
            partial = path.with_name(f".{path.name}.part")
            stamp = Stamp.of(path)
            try:
                if table is None:
                    raise Refused("undeclared", "no table is declared for it")
                marks = marks_of_file(
                    path, table, finder, lambda text: names(text, needles, values)
                )
            except Refused:
                _clean_unreadable(path, partial, counts, lambda t: names(t, needles, values))
                continue
            if not marks or Stamp.of(path) != stamp:
                # Written to meanwhile: the landing of the build that follows leaves it out.
                continue
            counts.found += len(marks.dropped) + len(marks.changed)
            counts.removed += len(marks.dropped)
            counts.changed += len(marks.changed)
            if write_without(path, partial, table, marks):
                _take_place(partial, path)
            else:
                path.unlink()
            if number % 100 == 0:
                progress(f"{folder.name}: {number} files read")
    return [counts for counts in found.values() if counts.found or counts.note]


def _files(
    folder: Path, declarations: Mapping[str, Source], is_archive: bool
) -> Iterator[tuple[Path, Table | None]]:
    if not folder.exists():
        return
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        if path.name.startswith(".") or path.name.lower().endswith(UNFINISHED):
            if is_archive:
                # What a killed erasure or landing left half written.
                path.unlink()
            # In landing somebody is writing it: tombstones know the person when it lands.
            continue
        source, name = (*path.relative_to(folder).parts, "", "")[:2]
        declared = declarations.get(source)
        table = declared.tables.get(name) if declared else None
        yield path, table if path.suffix.lower() in SUFFIXES else None


def _clean_unreadable(
    path: Path, partial: Path, counts: Counts, is_named: Callable[[str], bool]
) -> None:
    """A file that landing would refuse: its lines that name the person go, if it has lines."""
    if path.suffix.lower() in BINARY:
        counts.note = "a file that cannot be read may hold the person: look, and remove it"
        return
    removed = without_lines(path, partial, is_named)
    if removed:
        counts.found += removed
        counts.removed += removed
        _take_place(partial, path)


def _take_place(partial: Path, path: Path) -> None:
    partial.chmod(path.stat().st_mode & 0o777)
    partial.replace(path)
