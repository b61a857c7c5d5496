"""Learn a model from people, without being told who is who.

How often strangers agree is counted over random pairs; how often two records of one person do is
learned by expectation maximisation among pairs that share something. Both start from a seed.
"""

import copy
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from orchestration.matching.engine import quiet_splink, small_duckdb
from orchestration.matching.model import (
    STANDARD_PEOPLE,
    ModelError,
    blocking,
    describe,
    prior,
    save,
)
from orchestration.matching.people import PREPARED, feature_value, prepare, quoted
from orchestration.matching.settings import Feature, MatchSettings, Rule

if TYPE_CHECKING:
    from splink import Linker

FEWEST_PEOPLE = 50
# What a level that training never saw is taken for, beside what was learned: it is not impossible.
UNSEEN_SHARE = 0.001
ROUNDS = 3
DIGITS = 8


def train(people: Path, settings: MatchSettings, model_path: Path, seed: int | None = None) -> None:
    """Write the model learned from these people; the same people and seed, the same bytes.

    Always on one thread of DuckDB, whichever engine will score: a model is learned from a
    sample, and sums of another order would be other numbers.
    """
    seed = settings.seed if seed is None else seed
    with small_duckdb(settings) as connection, quiet_splink():
        connection.execute("set threads = 1")
        count = prepare(connection, people, settings).people
        if count < FEWEST_PEOPLE:
            raise ModelError(
                f"{people.name} holds {count} people; a model needs at least {FEWEST_PEOPLE}, "
                "better some thousands."
            )
        linker = _linker(connection, describe(settings))
        _learn_strangers(linker, settings, seed)
        _learn_matches(linker, connection, settings)
        model, chance = _settled(connection, linker.misc.save_model_to_json(), settings, count)
    model["probability_two_random_records_match"] = _round(prior(chance, count, STANDARD_PEOPLE))
    save(model, model_path)


def _linker(connection: duckdb.DuckDBPyConnection, model: dict[str, Any]) -> "Linker":
    from splink import DuckDBAPI, Linker

    api = DuckDBAPI(connection)
    return Linker(api.register(PREPARED), model, log_level=None)


def _learn_strangers(linker: "Linker", settings: MatchSettings, seed: int) -> None:
    linker.training.estimate_u_using_random_sampling(
        max_pairs=settings.training.random_pairs, seed=seed, min_count_per_level=None, num_chunks=1
    )


def _learn_matches(
    linker: "Linker", connection: duckdb.DuckDBPyConnection, settings: MatchSettings
) -> None:
    for rule in settings.training.blocking_rules:
        if not _pairs_exist(connection, rule):
            raise ModelError(
                f"training.blocking_rules: no two people share {rule.text}, so nothing is learned "
                "by it. Train from more people, or write another rule."
            )
        linker.training.estimate_parameters_using_expectation_maximisation(
            " and ".join(_equal(feature) for feature in rule.features),
            estimate_without_term_frequencies=True,
            max_pairs=settings.max_pairs_per_rule,
        )


def _pairs_exist(connection: duckdb.DuckDBPyConnection, rule: Rule) -> bool:
    values = ", ".join(feature_value(feature) for feature in rule.features)
    known = " and ".join(f"{quoted(feature.column)} is not null" for feature in rule.features)
    shared = connection.execute(
        f"select 1 from {PREPARED} where {known} group by {values} having count(*) > 1 limit 1"
    ).fetchall()
    return bool(shared)


def _equal(feature: Feature) -> str:
    column = quoted(feature.column)
    if feature.first is None:
        return f"l.{column} = r.{column}"
    return f"substr(l.{column}, 1, {feature.first}) = substr(r.{column}, 1, {feature.first})"


def _settled(
    connection: duckdb.DuckDBPyConnection,
    learned: dict[str, Any],
    settings: MatchSettings,
    people: int,
) -> tuple[dict[str, Any], float]:
    """The model without the matches among its strangers, and how many matches there are.

    Random pairs hold the matches too: where many are there twice, most pairs with one birth
    date are one person, and the date would seem to say little. How many there are is not known
    before the model is, so each corrects the other a few times.
    """
    chance = 0.0
    for _ in range(ROUNDS):
        model = _without_matches(learned, settings, chance)
        chance = _chance(connection, model, settings, people)
    return model, chance


def _without_matches(
    learned: dict[str, Any], settings: MatchSettings, chance: float
) -> dict[str, Any]:
    """Shares of strangers less the matches; nothing is impossible because no sample showed it.

    A level that neither showed is as likely in both, so it says nothing.
    """
    model = copy.deepcopy(learned)
    for key in ("linker_uid", "sql_dialect"):
        model.pop(key, None)
    model["blocking_rules_to_generate_predictions"] = []
    for comparison in model["comparisons"]:
        levels = [
            level for level in comparison["comparison_levels"] if not level.get("is_null_level")
        ]
        seen = [float(level.get("m_probability") or 0) for level in levels]
        random = [float(level.get("u_probability") or 0) for level in levels]
        seldom = 1 / settings.training.random_pairs
        matches = _shares([max(match, UNSEEN_SHARE) for match in seen])
        strangers = [
            max(share - chance * match, seldom) if share or match > UNSEEN_SHARE else UNSEEN_SHARE
            for share, match in zip(random, seen, strict=True)
        ]
        strangers = _shares(_ordered(matches, strangers))
        for level, match, stranger in zip(levels, matches, strangers, strict=True):
            level["m_probability"] = _round(match)
            level["u_probability"] = _round(stranger)
    return model


def _ordered(matches: list[float], strangers: list[float]) -> list[float]:
    """A weaker level never tells more than a stronger one: such a figure comes of too few pairs."""
    most = math.inf
    ordered = []
    for match, stranger in zip(matches, strangers, strict=True):
        ordered.append(max(stranger, match / most))
        most = match / ordered[-1]
    return ordered


def _shares(counts: list[float]) -> list[float]:
    """The same numbers, made to add up to one."""
    return [count / sum(counts) for count in counts]


def _round(number: float) -> float:
    """Enough digits to decide, few enough to be read and compared."""
    return float(f"{number:.{DIGITS}g}")


def _chance(
    connection: duckdb.DuckDBPyConnection,
    model: dict[str, Any],
    settings: MatchSettings,
    people: int,
) -> float:
    """The chance that two random people are one: what the model finds, as often as it takes."""
    pairs = people * (people - 1) / 2
    chance = 1 / people
    linker = _linker(
        connection,
        model
        | {
            "probability_two_random_records_match": chance,
            "retain_matching_columns": False,
            "blocking_rules_to_generate_predictions": blocking(settings),
        },
    )
    found = linker.inference.predict(warning_mode="never")
    weights = np.sort(
        connection.execute(f"select match_weight from {found.physical_name}").fetchnumpy()[
            "match_weight"
        ]
    ) - math.log2(chance / (1 - chance))
    for _ in range(50):
        odds = np.exp2(np.clip(weights + math.log2(chance / (1 - chance)), -100, 100))
        # At least one pair, so that a company without any is still asked.
        chance = min(0.5, max(1.0, float(np.sum(odds / (1 + odds)))) / pairs)
    return chance
