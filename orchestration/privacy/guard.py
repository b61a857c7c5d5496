"""The gate of landing in a home that erased somebody: what their tombstones know stays out."""

import re
from pathlib import Path

import duckdb

from orchestration.home import Home
from orchestration.landing.declarations import Table
from orchestration.landing.files import move_to_archive
from orchestration.landing.readers import Chunk, Refused
from orchestration.privacy.files import marks_of_chunk, marks_of_file, write_without
from orchestration.privacy.rows import NATIONAL, Finder, changed_row, national_forms
from orchestration.privacy.spelling import ADDRESS, Spelling, identifier_priorities
from orchestration.privacy.tombstones import Tombstones

WORDS = re.compile(r"[\s,;\"'<>()\[\]{}=&?|:]+")
NUMBERS = re.compile(r"[+(]?\d(?:[ .()/-]{0,3}\d){6,14}")
MOST_WORDS = 500
NOT_KEPT = "(not kept: the row names an erased person)"


class ErasedGate:
    """Leaves out the rows of erased people, and takes their identifiers out of others' rows."""

    def __init__(self, home: Home) -> None:
        self.tombstones = Tombstones(home)
        connection = duckdb.connect(config={"threads": 2})
        connection.execute("set TimeZone = 'UTC'")
        spelling = Spelling(connection)
        codes = connection.execute("select calling_code from calling_codes").fetchall()
        self.calling_codes = frozenset(str(code) for (code,) in codes)
        self.finder = Finder(
            connection,
            spelling,
            self.tombstones.matches,
            calling_codes=self.calling_codes,
        )

    def clean(self, table: Table, chunk: Chunk) -> tuple[Chunk, int]:
        """The chunk without rows of erased people, and how many those were."""
        marks = marks_of_chunk(self.finder, table, chunk)
        faults = [fault for fault in chunk.faults if not self.names_erased(fault.raw_text)]
        suppressed = len(marks.dropped) + len(chunk.faults) - len(faults)
        if not marks and not suppressed:
            return chunk, 0
        kept = [at for at in range(len(chunk.rows)) if at not in marks.dropped]
        rows = []
        for at in kept:
            values = {name: column[at] for name, column in chunk.columns.items()}
            rows.append(changed_row(marks, at, values) if at in marks.changed else values)
        extra = []
        for at in kept:
            text = chunk.extra[at]
            for spelled in marks.texts.get(at, ()):
                text = text.replace(spelled, "") if text else text
            extra.append(text)
        raw, changed = chunk.raw, marks.changed
        cleaned = Chunk(
            {name: [row[name] for row in rows] for name in chunk.columns},
            [chunk.rows[at] for at in kept],
            extra,
            lambda position: NOT_KEPT if kept[position] in changed else raw(kept[position]),
            faults,
        )
        return cleaned, suppressed

    def names_erased(self, text: str) -> bool:
        """Whether a row that could not be read names somebody erased, in any of its words."""
        words = set(WORDS.split(text)[:MOST_WORDS])
        words |= {found.replace("%40", "@") for found in re.findall(ADDRESS, text)}
        words |= {word.lower() for word in words} | {word.upper() for word in words}
        if any(
            self.tombstones.matches(NATIONAL, form)
            for typed in NUMBERS.findall(text)
            for form in national_forms(typed, self.calling_codes)
        ):
            return True
        kinds = identifier_priorities()
        return any(self.tombstones.matches(kind, word) for word in words if word for kind in kinds)

    def put_away(self, path: Path, target: Path, table: Table) -> None:
        """Move an original to the archive without what names erased people."""
        if target.exists():
            path.unlink(missing_ok=True)
            return
        try:
            found = marks_of_file(path, table, self.finder, self.names_erased)
        except Refused:
            # It was read a moment ago; what changed since is left for the next landing.
            return
        if not found:
            move_to_archive(path, target)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        if write_without(path, partial, table, found):
            partial.replace(target)
        path.unlink()
