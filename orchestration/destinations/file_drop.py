"""A folder with the whole audience as a CSV, the latest changes beside it, and a manifest.

The manifest names the files and is replaced last, in one step: whoever reads it sees a complete
version or the one before, at whatever moment the writer died.

Cells. Everything is quoted, UTF-8. A cell that a spreadsheet would run as a formula (it begins
with = + - @, tab or carriage return) gets a leading apostrophe. Numbers are left alone, and so
are phone numbers such as +84912345678: a sign and digits alone cannot hold a function.
"""

import csv
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.destinations.base import (
    Answer,
    BatchResult,
    Change,
    CheckResult,
    DestinationSpec,
    Invalid,
    Limits,
    Prepared,
    Row,
    RowOutcome,
    SendContext,
    Stopped,
    reach,
)

KEPT_VERSIONS = 2
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
VERSION_NAME = r"-[0-9]{8}T[0-9]{6}[0-9]*Z-[0-9a-f]+(-changes)?\.csv"


class FileDropDestination:
    """Keeps `<folder>/<object>/` equal to the audience."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._name = name

    @property
    def spec(self) -> DestinationSpec:
        return DestinationSpec(
            kind="file",
            limits=Limits(max_batch=None),
            idempotency="natural_key",
            delete="leave_out",
            batch="atomic",
            erasure="delete",
        )

    @property
    def manifest(self) -> Path:
        return self._folder / "manifest.json"

    def check(self) -> CheckResult:
        """The folder, or the nearest one above it that exists, can be written to."""
        folder = self._folder
        while not folder.exists():
            folder = folder.parent
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return CheckResult(True, "The folder can be written to.")
        return CheckResult(False, "The folder of this connection cannot be written to.")

    def prepare(self, row: Row) -> Prepared | Invalid:
        return Prepared(dest_key=row.key, person_key=row.key, payload=row.payload)

    def send(self, batch: Sequence[Change], context: SendContext) -> BatchResult:
        """Write all members and the batch's changes as one new version."""
        members = [
            [member.dest_key, *(member.payload.get(column) for column in context.columns)]
            for member in context.members
        ]
        # A removal says who goes and repeats nothing about them.
        changes = [
            ["delete", change.dest_key, *(None for _ in context.columns)]
            if change.operation == "delete"
            else ["upsert", change.dest_key, *(change.payload.get(c) for c in context.columns)]
            for change in batch
        ]
        header = [context.key_name, *context.columns]
        try:
            self._write_version(context.run_id, context.sync, header, members, changes)
        except PermissionError:
            raise Stopped(
                "folder_not_writable", "The folder of this connection cannot be written to."
            ) from None
        except OSError as error:
            # Before the manifest is replaced nothing has changed for its readers.
            return BatchResult(
                tuple(
                    RowOutcome(
                        change.change_id,
                        Answer.RETRY,
                        code=f"file_not_written:{error.strerror or 'input/output error'}",
                        scope="destination",
                    )
                    for change in batch
                )
            )
        reach("after_server_commit")
        return BatchResult(
            tuple(
                RowOutcome(change.change_id, Answer.ACKED, dest_id=context.run_id)
                for change in batch
            )
        )

    def erase(self, keys: Iterable[str]) -> BatchResult:
        """Write a version without these keys and keep no older one."""
        unwanted = list(keys)
        current = self._read_manifest()
        if current is not None:
            with (self._folder / current["members"]["file"]).open(
                encoding="utf-8", newline=""
            ) as file:
                header, *rows = list(csv.reader(file))
            cells = {_cell(key) for key in unwanted}
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            self._write_version(
                f"{stamp}-{secrets.token_hex(4)}",
                current["sync"],
                header,
                [row for row in rows if row[0] not in cells],
                [["delete", key, *(None for _ in header[1:])] for key in unwanted],
                is_escaped=True,
                kept=1,
            )
        return BatchResult(
            tuple(RowOutcome(str(position), Answer.ACKED) for position, _ in enumerate(unwanted))
        )

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _write_version(
        self,
        version: str,
        sync: str,
        header: Sequence[str],
        members: Sequence[Sequence[str | None]],
        changes: Sequence[Sequence[str | None]],
        is_escaped: bool = False,
        kept: int = KEPT_VERSIONS,
    ) -> None:
        reach("before_data")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        previous = self._read_manifest()
        history = [] if previous is None else list(previous.get("versions", []))
        versions = [version, *(known for known in history if known != version)][:kept]
        manifest = {
            "object": self._name,
            "sync": sync,
            "version": version,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions,
            "members": self._write_csv(f"{self._name}-{version}.csv", header, members, is_escaped),
            "changes": self._write_csv(
                f"{self._name}-{version}-changes.csv", ["operation", *header], changes, False
            ),
            "removals": sum(1 for change in changes if change[0] == "delete"),
        }
        _sync_folder(self._folder)
        content = json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n"
        _replace(self.manifest, content)
        _sync_folder(self._folder)
        self._remove_old(versions)

    def _write_csv(
        self,
        name: str,
        header: Sequence[str],
        rows: Sequence[Sequence[str | None]],
        is_escaped: bool,
    ) -> dict[str, Any]:
        text = io.StringIO(newline="")
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([value if is_escaped else _cell(value) for value in row])
        content = text.getvalue().encode("utf-8")
        _replace(self._folder / name, content)
        return {
            "file": name,
            "rows": len(rows),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    def _read_manifest(self) -> dict[str, Any] | None:
        if not self.manifest.exists():
            return None
        content: dict[str, Any] = json.loads(self.manifest.read_text(encoding="utf-8"))
        return content

    def _remove_old(self, versions: Sequence[str]) -> None:
        """Files of this object that no kept version names, and what a crash left half-written."""
        kept = {
            f"{self._name}-{version}{ending}"
            for version in versions
            for ending in (".csv", "-changes.csv")
        }
        ours = re.compile(re.escape(self._name) + VERSION_NAME)
        for path in self._folder.iterdir():
            is_old = bool(ours.fullmatch(path.name)) and path.name not in kept
            if is_old or path.name.endswith(".part"):
                path.unlink(missing_ok=True)


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    if value.startswith(FORMULA_STARTS) and not PLAIN_NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def _replace(path: Path, content: bytes) -> None:
    """Put content at path in one step, readable by the owner alone."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
