"""Who was erased, as keyed hashes: kept after the erasure, so that nobody comes back by a file.

`state/privacy/tombstones.json` holds for each kind of identifier the HMAC-SHA-256 of erased
values under CDP_ID_PEPPER, and no value. It also holds keys of erased rows, by which rows of
other tables (an order's lines) are known. A changed pepper would forget everybody silently, so
it is refused.
"""

import hmac
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.errors import CdpError
from orchestration.home import Home, read_secret

Named = tuple[str, str]


def privacy_folder(home: Home) -> Path:
    """What privacy requests keep; for the owner alone."""
    return home.state / "privacy"


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


@dataclass(frozen=True)
class Hasher:
    """Keyed hashes of what identifies people; each purpose has its own."""

    pepper: bytes = field(repr=False)

    @classmethod
    def of(cls, home: Home) -> "Hasher":
        return cls(read_secret(home, "CDP_ID_PEPPER").encode())

    def hash(self, purpose: str, *words: str) -> str:
        text = "\n".join((purpose, *words))
        return hmac.digest(self.pepper, text.encode(), "sha256").hex()

    @property
    def fingerprint(self) -> str:
        return self.hash("fingerprint of the tombstones' key")[:16]


class Tombstones:
    """The erased of a home; `matches` is asked for every identifier that lands."""

    def __init__(self, home: Home) -> None:
        self.path = privacy_folder(home) / "tombstones.json"
        self._home = home
        self._kinds: dict[str, dict[str, str]] = {}
        self._hasher: Hasher | None = None
        if self.path.exists():
            told = json.loads(self.path.read_text())
            self._kinds = told["kinds"]
            if self.hasher.fingerprint != told["key_fingerprint"]:
                raise CdpError(
                    "CDP_ID_PEPPER is not the key that erased people are remembered by: they "
                    "would come back with the next file. Restore the former value; nothing was "
                    "landed."
                )

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def __len__(self) -> int:
        return sum(len(hashes) for hashes in self._kinds.values())

    @property
    def hasher(self) -> Hasher:
        self._hasher = self._hasher or Hasher.of(self._home)
        return self._hasher

    def hash(self, kind: str, value: str) -> str:
        return self.hasher.hash("erased identifier", kind, value)

    def matches(self, kind: str, value: str) -> bool:
        """Whether this identifier, or key of a row, was erased."""
        hashes = self._kinds.get(kind)
        return bool(hashes) and self.hash(kind, value) in (hashes or {})

    def request_of(self, kind: str, value: str) -> str | None:
        """The request that erased an identifier."""
        return self._kinds.get(kind, {}).get(self.hash(kind, value))

    def add(self, named: Iterable[Named], request_id: str) -> int:
        """Remember values as erased; gives how many are new. On disk when it returns."""
        added = 0
        for kind, value in named:
            hashes = self._kinds.setdefault(kind, {})
            hashed = self.hash(kind, value)
            added += hashed not in hashes
            hashes.setdefault(hashed, request_id)
        if self._kinds:
            told = {"key_fingerprint": self.hasher.fingerprint, "kinds": self._kinds}
            write_private(self.path, json.dumps(told, indent=1, sort_keys=True).encode())
        return added
