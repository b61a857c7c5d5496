"""Where everything lives that is not code: the folders and files below `CDP_HOME`."""

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from orchestration.errors import CdpError, MissingSetting

PROJECT = Path(__file__).resolve().parent.parent
KEYS = ("CDP_ID_PEPPER", "CDP_LEDGER_KEY")


@dataclass(frozen=True)
class Home:
    """The paths below one `CDP_HOME`; nothing is created until `ensure` is called."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """The home that `CDP_HOME` names, or the repository's `data/`."""
        return cls(Path(os.environ.get("CDP_HOME") or PROJECT / "data").resolve())

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def truth(self) -> Path:
        return self.root / "truth"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def cdp_file(self) -> Path:
        return self.published / "cdp.duckdb"

    @property
    def private_file(self) -> Path:
        return self.published / "private.duckdb"

    @property
    def ops_file(self) -> Path:
        return self.published / "ops.duckdb"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def ledger(self) -> Path:
        return self.state / "activation.sqlite"

    @property
    def unmaskings(self) -> Path:
        return self.state / "unmasked.jsonl"

    @property
    def secrets_file(self) -> Path:
        return self.state / "secrets.env"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def connections(self) -> Path:
        return self.root / "connections.yml"

    @property
    def lock(self) -> Path:
        return self.root / "cdp.lock"

    @property
    def scratch(self) -> Path:
        """What a command makes for its own use and removes."""
        return self.root / "tmp"

    @property
    def dbt_target(self) -> Path:
        return self.root / "dbt_target"

    @property
    def manifest(self) -> Path:
        return self.dbt_target / "manifest.json"

    def ensure(self) -> "Home":
        """Create the folders; idempotent."""
        for folder in (self.landing, self.published, self.state, self.dagster, self.outbox):
            folder.mkdir(parents=True, exist_ok=True)
        # Others may reach `cdp.duckdb`, and nothing else that a command with a mask of 077 makes.
        self.root.chmod(0o755)
        self.published.chmod(0o755)
        return self


def as_of_date() -> date:
    """The day the build speaks of: `CDP_AS_OF_DATE`, or today in UTC."""
    text = os.environ.get("CDP_AS_OF_DATE")
    if not text:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CdpError(
            f"CDP_AS_OF_DATE is {text!r}; write it as a date, for example 2026-11-01."
        ) from error


def read_secret(home: Home, name: str) -> str:
    """The secret `name`, from the environment or from the home's secrets file (mode 0600)."""
    value = os.environ.get(name)
    if value:
        return value
    if home.secrets_file.exists():
        for line in home.secrets_file.read_text().splitlines():
            key, _, value = line.partition("=")
            if key == name and value:
                return value
    raise MissingSetting(
        f"{name} is not set. Put it in the environment, or run `cdp doctor --make-keys` to "
        f"make keys for this home in {home.secrets_file.name} (mode 0600)."
    )


def make_secrets(home: Home) -> bool:
    """Make the pepper and the ledger key for this home unless it has them; True if made."""
    if home.secrets_file.exists():
        return False
    import base64

    home.state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.secrets_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"CDP_ID_PEPPER={secrets.token_urlsafe(32)}\n")
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        file.write(f"CDP_LEDGER_KEY={key}\n")
    return True
