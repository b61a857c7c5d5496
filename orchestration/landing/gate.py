"""Who may come in: rows of erased people are left out before anything is checked or stored."""

from pathlib import Path
from typing import Protocol

from orchestration.home import Home
from orchestration.landing.declarations import Table
from orchestration.landing.files import move_to_archive
from orchestration.landing.readers import Chunk


class Gate(Protocol):
    """What a landing asks before it takes rows, and before it keeps an original."""

    def clean(self, table: Table, chunk: Chunk) -> tuple[Chunk, int]:
        """The rows that may be stored, and how many were left out."""

    def put_away(self, path: Path, target: Path, table: Table) -> None:
        """Move an original to the archive, without the rows that were left out."""


class OpenGate:
    """Nobody was ever erased here: all rows come in, and originals stay as they are."""

    def clean(self, table: Table, chunk: Chunk) -> tuple[Chunk, int]:
        return chunk, 0

    def put_away(self, path: Path, target: Path, table: Table) -> None:
        move_to_archive(path, target)


def gate_of(home: Home) -> Gate:
    """The gate of a home."""
    # It needs dbt's Jinja, which takes a second to load: only homes that erased somebody wait.
    if not (home.state / "privacy" / "tombstones.json").exists():
        return OpenGate()
    from orchestration.privacy.guard import ErasedGate

    return ErasedGate(home)
