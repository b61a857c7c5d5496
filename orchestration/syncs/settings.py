"""What a sync is told to do: `config.meta.sync` of its payload model, read from dbt's manifest."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestration.errors import CdpError

SCHEMA = "activation"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class SettingsError(CdpError):
    """A sync's settings are wrong; the message names the model and the key."""


class Strict(BaseModel):
    """A misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Consent(Strict):
    """The permission every person needs, or a written reason why none is needed."""

    channel: Name | None = None
    purpose: Name | None = None
    max_age_hours: float = Field(default=24, gt=0)
    exempt: str | None = Field(default=None, min_length=10)

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "Consent":
        asks = self.channel is not None and self.purpose is not None
        partly = self.channel is not None or self.purpose is not None
        if (self.exempt is None and not asks) or (self.exempt is not None and partly):
            raise ValueError("give channel and purpose, or exempt with a reason, not both")
        return self


class Guards(Strict):
    """What stops a sync before it does harm; removals need both numbers exceeded."""

    max_delete_pct: Percent = 20
    max_delete_rows: int = Field(default=50, ge=0)
    # Unset means 1 for a mirror; an audience of messages may well be empty on a quiet day.
    min_rows: int | None = Field(default=None, ge=0)
    first_run: Literal["confirm", "allow"] = "confirm"


class SyncLimits(Strict):
    """How many rows are read ahead, checked and sent together."""

    batch: int = Field(default=100, ge=1, le=10_000)


class Retry(Strict):
    """How long a refused row is tried again before a person must look at it."""

    in_run: int = Field(default=3, ge=1, le=10)
    across_runs: int = Field(default=10, ge=1)
    cool_down_hours: float = Field(default=1, ge=0)


class Alerts(Strict):
    """From where on a run is not called a success."""

    rejected_pct: Percent = 2


class SyncMeta(Strict):
    """The keys people write under `config.meta.sync`."""

    version: Literal[1]
    destination: Name
    object: ObjectName
    mode: Literal["message", "mirror"]
    key: Name = "customer_id"
    fields: dict[Name, Name] = Field(default_factory=dict)
    consent: Consent
    on_exit: Literal["none", "remove"] | None = None
    guards: Guards = Guards()
    limits: SyncLimits = SyncLimits()
    retry: Retry = Retry()
    alerts: Alerts = Alerts()

    @model_validator(mode="after")
    def _mode_fits(self) -> "SyncMeta":
        if self.mode == "message" and self.on_exit == "remove":
            raise ValueError("on_exit remove: a message cannot be taken back; write none")
        if self.mode == "mirror" and not self.fields:
            raise ValueError("fields: a mirror needs at least one field to send")
        if self.key in self.fields:
            raise ValueError(f"fields: {self.key} is the key and is always sent")
        return self


class SyncSettings(Strict):
    """One sync: its payload model and what its author wrote about it."""

    name: str
    description: str
    meta: SyncMeta

    @property
    def relation(self) -> str:
        """The payload table in the published file."""
        return f"{SCHEMA}.{self.name}"

    @property
    def removes_leavers(self) -> bool:
        """A mirror removes unless told not to."""
        return self.meta.mode == "mirror" and self.meta.on_exit != "none"

    @property
    def min_rows(self) -> int:
        """Fewer rows than this block the sync."""
        if self.meta.guards.min_rows is not None:
            return self.meta.guards.min_rows
        return 1 if self.meta.mode == "mirror" else 0


def explain(error: ValidationError, where: str) -> str:
    """Each fault with its key; never the value, which may be a secret."""
    faults = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "union_tag_invalid":
            # The only message of the library that repeats what was written.
            message = "the type is not one this project knows"
        faults.append(f"{where}{'.' + key if key else ''}: {message}")
    return "; ".join(faults)


def read_sync(name: str, description: str, meta: Any) -> SyncSettings:
    """One model's settings, checked."""
    if not isinstance(meta, dict):
        raise SettingsError(f"Model {name}: meta.sync must hold keys and values.")
    try:
        return SyncSettings(name=name, description=description, meta=SyncMeta.model_validate(meta))
    except ValidationError as error:
        raise SettingsError(f"Model {name}: {explain(error, 'meta.sync')}") from None


def load_syncs(manifest: Path) -> list[SyncSettings]:
    """Every sync the project declares, by name; none at all is an error."""
    if not manifest.exists():
        raise SettingsError(
            f"There is no {manifest.name}: dbt has not parsed the project yet. Run `cdp run`."
        )
    nodes = json.loads(manifest.read_text(encoding="utf-8")).get("nodes", {})
    syncs = []
    for node in nodes.values():
        if node.get("resource_type") != "model":
            continue
        meta = (node.get("config", {}).get("meta") or {}).get("sync")
        if meta is not None:
            syncs.append(read_sync(node["name"], node.get("description") or "", meta))
    if not syncs:
        raise SettingsError(
            "No model has config.meta.sync, so there is nothing to send. Declare it on a model "
            "of models/activation."
        )
    syncs.sort(key=lambda sync: sync.name)
    _refuse_shared_targets(syncs)
    return syncs


def _refuse_shared_targets(syncs: list[SyncSettings]) -> None:
    """Two mirrors of one object would each remove the other's members."""
    owners: dict[tuple[str, str], str] = {}
    for sync in syncs:
        if sync.meta.mode != "mirror":
            continue
        target = (sync.meta.destination, sync.meta.object)
        if target in owners:
            raise SettingsError(
                f"Model {sync.name}: meta.sync.object: {sync.meta.object} of "
                f"{sync.meta.destination} is already mirrored by {owners[target]}."
            )
        owners[target] = sync.name
