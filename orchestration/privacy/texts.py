"""Files that are no tables: texts, mail, and the SQLite files of other tools."""

import email
import email.policy
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

BLOCK = 1 << 20
SQLITE = b"SQLite format 3\x00"


def without_lines(path: Path, partial: Path, is_named: Callable[[str], bool]) -> int:
    """Write a text's lines without those that name somebody; gives how many those are.

    Nothing is written where there are none.
    """
    removed = 0
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        kept = []
        for line in file:
            if is_named(line):
                removed += 1
            else:
                kept.append(line)
    if removed:
        with partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
    return removed


def text_of(path: Path) -> str:
    """A file's bytes as text, whatever they are."""
    return path.read_bytes().decode("utf-8", "replace")


def mail_text(path: Path) -> str:
    """A message's headers and readable parts, decoded."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    parts = [f"{name}: {value}" for name, value in message.items()]
    for part in message.walk():
        if part.get_content_maintype() == "text":
            parts.append(str(part.get_content()))
    return "\n".join(parts)


def is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def without_sqlite_rows(path: Path, is_named: Callable[[str], bool]) -> int:
    """Delete a SQLite file's rows that name somebody, and their bytes; gives how many."""
    removed = 0
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.text_factory = bytes
        connection.execute("pragma secure_delete = on")
        tables = connection.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        ).fetchall()
        for (name,) in tables:
            quoted = '"' + name.decode().replace('"', '""') + '"'
            rows = connection.execute(f"select rowid, * from {quoted}").fetchall()
            named = [
                (row[0],)
                for row in rows
                if is_named(
                    "\n".join(
                        cell.decode("utf-8", "replace") for cell in row[1:] if type(cell) is bytes
                    )
                )
            ]
            connection.executemany(f"delete from {quoted} where rowid = ?", named)
            removed += len(named)
        if removed:
            connection.execute("vacuum")
            connection.execute("pragma wal_checkpoint(truncate)")
    return removed
