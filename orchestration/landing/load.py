"""Land what has arrived: every file once, checked against its declaration, nothing lost.

A bounded group of files is one transaction for all its effects (rows, rejected rows, the log,
what is current). The originals move to the archive after the commit; a landing that died in
between is finished by the next one, which knows the file by its name and content.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from orchestration.build_state import forget_build
from orchestration.home import Home
from orchestration.landing import connector
from orchestration.landing.checking import Checker, Load
from orchestration.landing.declarations import Source, Table
from orchestration.landing.files import (
    Candidate,
    RefusedFiles,
    Stamp,
    archive_path,
    quiet_seconds,
    scan,
    settle,
)
from orchestration.landing.gate import Gate, gate_of
from orchestration.landing.readers import (
    CHUNK_CHARACTERS,
    CHUNK_ROWS,
    Chunk,
    Facts,
    Reading,
    Refused,
    examine,
    read,
)
from orchestration.landing.report import (
    FileResult,
    LandingReport,
    Rejection,
    Sample,
    TableResult,
    note,
    sampled,
)
from orchestration.landing.store import (
    REJECTED,
    LoadRecord,
    Loads,
    arrow_rows,
    count_duplicates,
    current_loads,
    ensure_tables,
    now,
    rejected_name,
    rejected_row,
    result_of,
)
from orchestration.privacy.suppressions import land_suppressions
from orchestration.warehouse.base import Warehouse
from orchestration.warehouse.connect import remember_installation

GROUP_FILES = 100
GROUP_BYTES = 64 * 1024 * 1024
_WAITING = "still being written, left for the next run"

Progress = Callable[[str], None]


class _Redo(Exception):
    """One file of a group cannot be part of it; the group is done again without it."""

    def __init__(self, candidate: Candidate, refused: Refused | None) -> None:
        super().__init__(candidate.file)
        self.candidate = candidate
        self.refused = refused


@dataclass
class _File:
    """A file of the group that is being loaded."""

    candidate: Candidate
    facts: Facts
    load: Load
    reading: Reading = field(default_factory=Reading)
    good: int = 0
    rejected: int = 0
    suppressed: int = 0


@dataclass
class _Group:
    """All that one transaction will do; thrown away when it is done again."""

    sample: Sample
    files: list[_File] = field(default_factory=list)
    records: list[LoadRecord] = field(default_factory=list)
    moves: list[tuple[Candidate, Path]] = field(default_factory=list)
    results: list[FileResult] = field(default_factory=list)
    refused: list[tuple[Candidate, Refused]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    rules: dict[str, int] = field(default_factory=dict)


def land(
    home: Home,
    warehouse: Warehouse,
    declarations: Mapping[str, Source],
    as_of: date,
    progress: Progress = lambda line: None,
    sources: list[str] | None = None,
) -> LandingReport:
    """Load all that is ready; what is wrong is reported and the rest goes on."""
    ensure_tables(warehouse, declarations)
    remember_installation(home, warehouse)
    if land_suppressions(home, warehouse):
        forget_build(home)
    report = LandingReport()
    refused = RefusedFiles(home)
    found = scan(home.landing)
    report.ignored += found.unknown
    settle(found, quiet_seconds())
    for candidate in found.waiting:
        report.of(candidate.source, candidate.table).files.append(_waiting(candidate))
    for candidate in found.links:
        report.of(candidate.source, candidate.table).files.append(
            _refused_result(candidate, "link", "a link; put the file itself into landing")
        )
    by_table: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in found.candidates:
        table = _table_of(candidate, declarations, report, refused)
        if table is not None and (sources is None or candidate.source in sources):
            by_table.setdefault((table.source, table.name), []).append(candidate)
    loads = Loads(warehouse)
    gate = gate_of(home)
    for (source, name), candidates in sorted(by_table.items()):
        table = declarations[source].tables[name]
        result = report.of(source, name)
        with _Landing(
            home, warehouse, table, loads, as_of, refused, result, progress, gate
        ) as landing:
            landing.land(candidates)
    for declared in declarations.values():
        if declared.mode == "schema" and (sources is None or declared.name in sources):
            connector.land_source(warehouse, declared, loads, as_of, report, progress, gate)
    if found.candidates or refused.known:
        refused.save(f"{each.source}/{each.file}" for each in scan(home.landing).candidates)
    return report


def _table_of(
    candidate: Candidate,
    declarations: Mapping[str, Source],
    report: LandingReport,
    refused: RefusedFiles,
) -> Table | None:
    """The declared table of a file; a file that belongs to none is told and left alone."""
    source = declarations.get(candidate.source)
    reason = None
    if source is None:
        reason = f"no source {candidate.source!r} is declared"
    elif source.mode != "files":
        reason = f"source {source.name} arrives in a schema here, not as files"
    elif candidate.table not in source.tables:
        reason = f"source {source.name} declares no table {candidate.table!r}"
    if reason is None and source is not None:
        return source.tables[candidate.table]
    name = f"{candidate.source}/{candidate.file}"
    report.ignored.append(f"{name}: {reason}; left alone")
    refused.add(name, candidate.stamp, "", "undeclared", str(reason))
    return None


def _waiting(candidate: Candidate) -> FileResult:
    return FileResult(
        candidate.source,
        candidate.table,
        candidate.file,
        "waiting",
        message=_WAITING,
        size=candidate.stamp.size,
    )


def _refused_result(candidate: Candidate, rule: str, message: str) -> FileResult:
    return FileResult(
        candidate.source,
        candidate.table,
        candidate.file,
        "refused",
        rule=rule,
        message=message,
        size=candidate.stamp.size,
    )


class _Landing:
    """Lands the files of one table."""

    def __init__(
        self,
        home: Home,
        warehouse: Warehouse,
        table: Table,
        loads: Loads,
        as_of: date,
        refused: RefusedFiles,
        result: TableResult,
        progress: Progress,
        gate: Gate,
    ) -> None:
        self.home = home
        self.gate = gate
        self.warehouse = warehouse
        self.table = table
        self.loads = loads
        self.as_of = as_of
        self.refused = refused
        self.result = result
        self.progress = progress
        self.records: list[LoadRecord] = []
        self.newest: dict[str, LoadRecord] = {}
        self.by_id: dict[int, LoadRecord] = {}
        self.current: dict[str, tuple[str, int]] = {}
        self._remember(loads.of_table(table.source, table.name))
        self.checker = Checker(table)
        self.total = 0
        self.done = 0

    def __enter__(self) -> "_Landing":
        return self

    def __exit__(self, *_: object) -> None:
        self.checker.__exit__(None, None, None)

    def _remember(self, records: list[LoadRecord]) -> None:
        self.records += records
        self.by_id |= {record.load_id: record for record in records}
        self.newest |= {r.file: r for r in records if r.status != "refused"}
        self.current = current_loads(self.records)

    def land(self, candidates: list[Candidate]) -> None:
        fresh = [candidate for candidate in candidates if not self._known_refused(candidate)]
        self.total = len(fresh)
        for group in _groups(fresh):
            self._land_group(group)

    def _known_refused(self, candidate: Candidate) -> bool:
        name = f"{candidate.source}/{candidate.file}"
        known = self.refused.find(name, candidate.stamp, self.table.fingerprint)
        if known is None:
            return False
        self.result.files.append(_refused_result(candidate, *known))
        return True

    def _land_group(self, candidates: list[Candidate]) -> None:
        """One transaction; a file that turns out unfit is taken out and the rest is redone."""
        left = list(candidates)
        unfit: list[tuple[Candidate, Refused]] = []
        waiting: list[FileResult] = []
        while True:
            group = _Group(copy.copy(self.result.sample))
            group.sample.kept = list(self.result.sample.kept)
            first_id = self.loads.last_id
            try:
                with self.warehouse.transaction():
                    self._fill(group, left, unfit)
                break
            except _Redo as redo:
                self.loads.last_id = first_id
                left = [each for each in left if each.path != redo.candidate.path]
                if redo.refused is None:
                    waiting.append(_waiting(redo.candidate))
                else:
                    unfit.append((redo.candidate, redo.refused))
        self._settle(group, waiting)

    def _fill(
        self,
        group: _Group,
        candidates: list[Candidate],
        unfit: list[tuple[Candidate, Refused]],
    ) -> None:
        loaded_at = now()
        for candidate, refusal in unfit:
            try:
                facts = examine(candidate.path)
            except OSError:
                continue
            self._refuse(group, candidate, refusal, facts, loaded_at)
        buffer: list[tuple[_File, Chunk]] = []
        for candidate in candidates:
            for part in self._read(group, candidate, loaded_at):
                buffer.append(part)
                if _is_full(buffer):
                    self._store(group, buffer)
                    buffer = []
        if buffer:
            self._store(group, buffer)
        self._close(group, loaded_at)
        for candidate in candidates:
            if Stamp.of(candidate.path) != candidate.stamp:
                raise _Redo(candidate, None)

    def _read(
        self, group: _Group, candidate: Candidate, loaded_at: datetime
    ) -> Iterator[tuple[_File, Chunk]]:
        """The chunks of one file; nothing for one that is known already or unfit."""
        try:
            facts = examine(candidate.path)
        except OSError as error:
            raise _Redo(candidate, None) from error
        if self._is_known(group, candidate, facts, loaded_at):
            return
        load = Load(self.loads.next_id(), candidate.file, loaded_at, self.as_of)
        file = _File(candidate, facts, load)
        taken = False
        try:
            for chunk in read(candidate.path, self.table, facts, file.reading):
                taken = True
                allowed, suppressed = self.gate.clean(self.table, chunk)
                file.suppressed += suppressed
                if allowed.rows or allowed.faults:
                    yield file, allowed
        except Refused as refusal:
            if taken:
                raise _Redo(candidate, refusal) from refusal
            self._refuse(group, candidate, refusal, facts, loaded_at)
            return
        except OSError as error:
            raise _Redo(candidate, None) from error
        if Stamp.of(candidate.path) != candidate.stamp:
            raise _Redo(candidate, None)
        group.files.append(file)

    def _is_known(
        self, group: _Group, candidate: Candidate, facts: Facts, loaded_at: datetime
    ) -> bool:
        """Whether this content is loaded already; then only the file itself is put away."""
        target = archive_path(self.home, candidate, facts.content_hash)
        for file in group.files:
            if file.facts.content_hash == facts.content_hash:
                self._duplicate(group, candidate, facts, target, loaded_at, file.load.load_id)
                return True
        if facts.content_hash not in self.current:
            return False
        newest = self.newest.get(candidate.file)
        if newest and newest.content_hash == facts.content_hash and not target.exists():
            # The last landing died after its commit and before the move: finish it.
            group.moves.append((candidate, target))
            group.results.append(
                FileResult(
                    candidate.source,
                    candidate.table,
                    candidate.file,
                    "archived",
                    message="loaded before; its move to the archive is finished now",
                    size=facts.size,
                )
            )
            return True
        load_id = self.current[facts.content_hash][1]
        self._duplicate(group, candidate, facts, target, loaded_at, load_id)
        return True

    def _duplicate(
        self,
        group: _Group,
        candidate: Candidate,
        facts: Facts,
        target: Path,
        loaded_at: datetime,
        load_id: int,
    ) -> None:
        # The original may be in this very group: then `_close` knows how many rows it landed.
        original = self.by_id.get(load_id)
        landed = original.landed_count if original else 0
        group.moves.append((candidate, target))
        group.records.append(
            self._record(
                self.loads.next_id(),
                candidate,
                facts,
                loaded_at,
                archived_as=self._shown(target),
                landed_count=landed,
                duplicate_count=landed,
                status="duplicate",
                rule="duplicate_file",
                message=f"the same content as load {load_id}; not loaded again",
            )
        )

    def _refuse(
        self,
        group: _Group,
        candidate: Candidate,
        refusal: Refused,
        facts: Facts,
        loaded_at: datetime,
    ) -> None:
        group.refused.append((candidate, refusal))
        group.results.append(_refused_result(candidate, refusal.rule, refusal.message))
        if any(
            record.status == "refused"
            and record.file == candidate.file
            and record.content_hash == facts.content_hash
            and record.rule == refusal.rule
            for record in self.records
        ):
            return
        group.records.append(
            self._record(
                self.loads.next_id(),
                candidate,
                facts,
                loaded_at,
                status="refused",
                rule=refusal.rule,
                message=refusal.message,
            )
        )

    def _store(self, group: _Group, buffer: list[tuple[_File, Chunk]]) -> None:
        """Check and append what was read so far."""
        checked, text = self.checker.check([(file.load, chunk) for file, chunk in buffer])
        for (file, _), good in zip(buffer, checked.good_counts, strict=True):
            file.good += good
        rejected = []
        for number, fault in checked.faults:
            file = buffer[number][0]
            file.rejected += 1
            rejected.append(rejected_row(file.load, fault))
            note(group.rules, group.rejections, self.result, file.load.file, fault)
        self.warehouse.append(self.table.schema, self.table.name, checked.good)
        self.warehouse.append(
            self.table.schema, rejected_name(self.table.name), arrow_rows(REJECTED, rejected)
        )
        group.sample.add(sampled(text, self.table))
        rows = sum(file.good + file.rejected for file in {id(f): f for f, _ in buffer}.values())
        if len(buffer) == 1 and rows > CHUNK_ROWS:
            self.progress(f"{self.table.label}: {buffer[0][0].candidate.file}: {rows:,} rows read")

    def _close(self, group: _Group, loaded_at: datetime) -> None:
        """Count duplicates, write the log and what is current."""
        for file in group.files:
            group.records.append(self._loaded_record(group, file, loaded_at))
        current = current_loads(self.records + group.records)
        fresh = [file.load.load_id for file in group.files]
        others = {load_id for _, load_id in current.values()} - set(fresh)
        duplicates = count_duplicates(self.warehouse, self.table, fresh, sorted(others))
        landed = {
            file.facts.content_hash: file.good + file.rejected + file.suppressed
            for file in group.files
        }
        group.records = sorted(
            (_counted(record, duplicates, landed) for record in group.records),
            key=lambda record: record.load_id,
        )
        self.loads.append(group.records)
        self.loads.write_current(self.table.source, self.table.name, current)

    def _loaded_record(self, group: _Group, file: _File, loaded_at: datetime) -> LoadRecord:
        notes = list(file.reading.notes)
        if file.suppressed:
            notes.append(f"{file.suppressed} rows of erased people were left out")
        if file.candidate.file in self.newest:
            notes.insert(0, "the file changed; this load replaces its earlier one")
        target = archive_path(self.home, file.candidate, file.facts.content_hash)
        group.moves.append((file.candidate, target))
        return self._record(
            file.load.load_id,
            file.candidate,
            file.facts,
            loaded_at,
            archived_as=self._shown(target),
            landed_count=file.good + file.rejected + file.suppressed,
            loaded_count=file.good,
            rejected_count=file.rejected,
            suppressed_count=file.suppressed,
            unknown_columns=", ".join(file.reading.unknown_columns) or None,
            status="loaded",
            message="; ".join(notes) or None,
        )

    def _settle(self, group: _Group, waiting: Iterable[FileResult]) -> None:
        """After the commit: move the originals, remember refusals, tell what was done."""
        for candidate, target in group.moves:
            # Written to since the commit: leave it, the next landing loads the change.
            if Stamp.of(candidate.path) == candidate.stamp:
                self.gate.put_away(candidate.path, target, self.table)
        for candidate, refusal in group.refused:
            self.refused.add(
                f"{candidate.source}/{candidate.file}",
                candidate.stamp,
                self.table.fingerprint,
                refusal.rule,
                refusal.message,
            )
        self._remember(group.records)
        self.result.sample = group.sample
        self.result.rejections += group.rejections
        for rule, count in group.rules.items():
            self.result.rules[rule] = self.result.rules.get(rule, 0) + count
        self.result.files += group.results
        self.result.files += [
            result_of(record) for record in group.records if record.status != "refused"
        ]
        self.result.files += waiting
        self.done += len(group.moves)
        self.progress(
            f"{self.table.label}: {self.done} of {self.total} files, "
            f"{self.result.landed:,} rows landed"
        )

    def _record(
        self,
        load_id: int,
        candidate: Candidate,
        facts: Facts,
        loaded_at: datetime,
        status: str,
        archived_as: str | None = None,
        landed_count: int = 0,
        loaded_count: int = 0,
        rejected_count: int = 0,
        duplicate_count: int = 0,
        suppressed_count: int = 0,
        unknown_columns: str | None = None,
        rule: str | None = None,
        message: str | None = None,
    ) -> LoadRecord:
        return LoadRecord(
            load_id=load_id,
            source=self.table.source,
            table_name=self.table.name,
            file=candidate.file,
            content_hash=facts.content_hash,
            size_bytes=facts.size,
            archived_as=archived_as,
            landed_count=landed_count,
            loaded_count=loaded_count,
            rejected_count=rejected_count,
            duplicate_count=duplicate_count,
            suppressed_count=suppressed_count,
            unknown_columns=unknown_columns,
            status=status,
            rule=rule,
            message=message,
            loaded_at=loaded_at,
            landed_as_of=self.as_of,
        )

    def _shown(self, target: Path) -> str:
        return target.relative_to(self.home.archive).as_posix()


def _groups(candidates: list[Candidate]) -> Iterator[list[Candidate]]:
    """Bounded groups, in order; a large file is a group of its own."""
    group: list[Candidate] = []
    size = 0
    for candidate in candidates:
        if group and (len(group) >= GROUP_FILES or size + candidate.stamp.size > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(candidate)
        size += candidate.stamp.size
    if group:
        yield group


def _is_full(buffer: list[tuple[_File, Chunk]]) -> bool:
    rows = sum(len(chunk.rows) + len(chunk.faults) for _, chunk in buffer)
    size = sum(file.facts.size for file, _ in buffer)
    return rows >= CHUNK_ROWS or size >= CHUNK_CHARACTERS


def _counted(
    record: LoadRecord, duplicates: Mapping[int, int], landed: Mapping[str, int]
) -> LoadRecord:
    """The record with its duplicate rows counted apart from the loaded ones."""
    if record.status == "loaded":
        repeated = duplicates.get(record.load_id, 0)
        return replace(
            record, loaded_count=record.loaded_count - repeated, duplicate_count=repeated
        )
    if record.status == "duplicate" and record.content_hash in landed:
        count = landed[record.content_hash]
        return replace(record, landed_count=count, duplicate_count=count)
    return record
