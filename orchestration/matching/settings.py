"""How people are compared: `settings.yml`, checked before anything runs."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from orchestration.errors import CdpError
from orchestration.matching.kinds import KINDS

SETTINGS_FILE = Path(__file__).with_name("settings.yml")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
FEATURE = re.compile(
    r"^(?P<comparison>[a-z][a-z0-9_]*)\.(?P<feature>[a-z_]+)(\[:(?P<first>[1-9])\])?$"
)


class MatchSettingsError(CdpError):
    """The matching settings are wrong; the message names the key and what to write."""


class Strict(BaseModel):
    """A misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Level(Strict):
    """One degree of agreement; levels are tried in the order in which they are written."""

    test: str = Field(alias="is")
    one_edit_in: int | None = Field(default=None, ge=1, le=50)
    at_most: int | None = Field(default=None, ge=1, le=5)
    called: str | None = Field(default=None, pattern=r"^[a-z][a-z ]*$")
    # How far a rare value counts for more than a common one: 0 not at all, 1 in full.
    rarity: float = Field(default=0, ge=0, le=1)

    @property
    def label(self) -> str:
        """What `matched_on` says."""
        return self.called or self.test.replace("_", " ")


class Comparison(Strict):
    """One thing that two people may share, and in which degrees."""

    name: Name
    kind: str
    columns: dict[str, str] = Field(min_length=1)
    levels: list[Level] = Field(min_length=1, max_length=12)
    at_least: str | None = None
    ignore: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _kind_knows_it(self) -> "Comparison":
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ValueError(f"kind {self.kind}: write one of {', '.join(sorted(KINDS))}")
        wrong = sorted(set(self.columns) - set(kind.roles))
        if wrong:
            raise ValueError(
                f"columns {', '.join(wrong)}: a {self.kind} has the parts {', '.join(kind.roles)}"
            )
        for level in self.levels:
            self._test_fits(level)
        labels = [level.label for level in self.levels]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"levels: two are named {label}; give one of them `called:`")
        if self.at_least is not None and self.at_least not in labels:
            raise ValueError(f"at_least {self.at_least}: write one of {', '.join(labels)}")
        return self

    def _test_fits(self, level: Level) -> None:
        test = KINDS[self.kind].tests.get(level.test)
        if test is None:
            known = ", ".join(sorted(KINDS[self.kind].tests))
            raise ValueError(f"is {level.test}: a {self.kind} can be {known}")
        for key in ("one_edit_in", "at_most"):
            given = getattr(level, key) is not None
            if given and test.needs != key:
                raise ValueError(f"is {level.test}: {key} has no meaning here; remove it")
            if not given and test.needs == key:
                raise ValueError(f"is {level.test}: say {key}")
        if level.rarity and test.value is None:
            raise ValueError(f"is {level.test}: rarity has no meaning here; remove it")


class Feature(BaseModel):
    """What a blocking rule demands to be equal, such as the first letters of a family name."""

    model_config = ConfigDict(frozen=True)

    comparison: str
    feature: str
    first: int | None = None

    @property
    def column(self) -> str:
        """The prepared column that holds it."""
        return f"{self.comparison}_{self.feature}"


def parse_feature(text: str) -> Feature:
    """`name.family` or, for the first three letters alone, `name.family[:3]`."""
    found = FEATURE.match(text)
    if found is None:
        raise ValueError(f"{text}: write comparison.feature, or comparison.feature[:3]")
    first = found["first"]
    return Feature(
        comparison=found["comparison"],
        feature=found["feature"],
        first=int(first) if first else None,
    )


class Rule(BaseModel):
    """Two people are compared when all of this is equal."""

    model_config = ConfigDict(frozen=True)

    features: tuple[Feature, ...]
    text: str


def _rules(value: object) -> list[Rule]:
    if not isinstance(value, list) or not value:
        raise ValueError("write a list of rules, each a list such as [name.key, email.local]")
    rules = []
    for written in value:
        if not isinstance(written, list) or not written:
            raise ValueError(f"{written}: a rule is a list such as [name.key, email.local]")
        features = tuple(parse_feature(str(text)) for text in written)
        rules.append(Rule(features=features, text=" + ".join(map(str, written))))
    return rules


class Training(Strict):
    """What a model is learned from; no label of who is who is ever read."""

    blocking_rules: list[Rule]
    # Random pairs from which the agreement of strangers is learned.
    random_pairs: int = Field(default=2_000_000, ge=1_000, le=1_000_000_000)

    _read_rules = field_validator("blocking_rules", mode="before")(_rules)


class MatchSettings(Strict):
    """Everything in `settings.yml`."""

    version: Literal[1]
    engine: Literal["duckdb", "spark"] = "duckdb"
    memory_limit: str = Field(default="2GB", pattern=r"^[1-9][0-9]*(MB|GB)$")
    threads: int = Field(default=2, ge=1, le=256)
    seed: int = Field(default=7, ge=0, le=2_147_483_647)
    record_id: str = "record_id"
    candidate_probability: float = Field(gt=0, lt=1)
    # From here on a pair joins two people; read by the build (orchestration/project.py) too.
    admitted_from: float = Field(default=0.99, gt=0.5, le=1.01)
    max_pairs_per_rule: int = Field(default=2_000_000, ge=1)
    comparisons: list[Comparison] = Field(min_length=2, max_length=20)
    blocking_rules: list[Rule]
    training: Training

    _read_rules = field_validator("blocking_rules", mode="before")(_rules)

    @model_validator(mode="after")
    def _names_meet(self) -> "MatchSettings":
        names = [comparison.name for comparison in self.comparisons]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"comparisons: two are named {name}; rename one")
        columns = [
            f"{comparison.name}_{feature}"
            for comparison in self.comparisons
            for feature in KINDS[comparison.kind].features
        ]
        for column in columns:
            if columns.count(column) > 1:
                raise ValueError(f"comparisons: two would prepare a column {column}; rename one")
        kinds = {comparison.name: KINDS[comparison.kind] for comparison in self.comparisons}
        for place, rules in (
            ("blocking_rules", self.blocking_rules),
            ("training.blocking_rules", self.training.blocking_rules),
        ):
            for feature in (feature for rule in rules for feature in rule.features):
                kind = kinds.get(feature.comparison)
                if kind is None:
                    raise ValueError(
                        f"{place}: {feature.comparison} is no comparison; "
                        f"write one of {', '.join(names)}"
                    )
                if feature.feature not in kind.keys:
                    raise ValueError(
                        f"{place}: {feature.comparison} has no {feature.feature}; "
                        f"write one of {', '.join(kind.keys)}"
                    )
        self._every_comparison_is_learned()
        return self

    def _every_comparison_is_learned(self) -> None:
        """A rule teaches nothing about what it demands to be equal."""
        for comparison in self.comparisons:
            teachers = [
                rule
                for rule in self.training.blocking_rules
                if all(feature.comparison != comparison.name for feature in rule.features)
            ]
            if not teachers:
                raise ValueError(
                    f"training.blocking_rules: every rule uses {comparison.name}, so nothing "
                    "can be learned about it; add a rule without it"
                )


def load_settings(path: Path | None = None) -> MatchSettings:
    """The settings in `path`, by default those of the project."""
    path = path or SETTINGS_FILE
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MatchSettingsError(f"There is no {path}; matching needs its settings.") from None
    except yaml.YAMLError as error:
        raise MatchSettingsError(f"{path.name} is not YAML: {error}") from None
    if not isinstance(written, dict):
        raise MatchSettingsError(f"{path.name} must hold keys and values.")
    try:
        return MatchSettings.model_validate(written)
    except ValidationError as error:
        raise MatchSettingsError(explain(error, path.name)) from None


def explain(error: ValidationError, where: str) -> str:
    """Each fault with its key."""
    faults = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{where}{': ' + key if key else ''}: {message}")
    return "; ".join(faults)
