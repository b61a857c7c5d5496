"""The model: Splink's description of the comparisons, with what was learned about them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestration.errors import CdpError
from orchestration.matching.kinds import KINDS
from orchestration.matching.people import RECORD, block_column
from orchestration.matching.settings import Comparison, Level, MatchSettings

MODEL_FILE = Path(__file__).with_name("model.json")
# The chance that two random people are one is kept for a company of this size.
STANDARD_PEOPLE = 10_000
LIKELIEST = 0.5


class ModelError(CdpError):
    """The saved model cannot be used; the message says to train again."""


def _level(comparison: Comparison, level: Level) -> dict[str, Any]:
    test = KINDS[comparison.kind].tests[level.test]
    number = level.one_edit_in or level.at_most or 0
    described: dict[str, Any] = {
        "sql_condition": test.condition(comparison.name, number),
        "label_for_charts": level.label,
    }
    if level.rarity and test.value is not None:
        described |= {
            "tf_adjustment_column": f"{comparison.name}_{test.value}",
            "tf_adjustment_weight": level.rarity,
            # The level's condition says more than that this one column is equal.
            "disable_tf_exact_match_detection": True,
        }
    return described


def _comparison(comparison: Comparison) -> dict[str, Any]:
    unknown = KINDS[comparison.kind].unknown(comparison.name, 0)
    return {
        "output_column_name": comparison.name,
        "comparison_levels": [
            {"sql_condition": unknown, "label_for_charts": "unknown", "is_null_level": True},
            *(_level(comparison, level) for level in comparison.levels),
            {"sql_condition": "ELSE", "label_for_charts": "different"},
        ],
    }


def blocking(settings: MatchSettings) -> list[dict[str, str]]:
    """The blocking rules over the keys that were prepared for them."""
    columns = [block_column(number) for number in range(len(settings.blocking_rules))]
    return [{"blocking_rule": f"l.{column} = r.{column}"} for column in columns]


def describe(settings: MatchSettings) -> dict[str, Any]:
    """The settings in Splink's words, without anything learned."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": RECORD,
        "comparisons": [_comparison(comparison) for comparison in settings.comparisons],
        "blocking_rules_to_generate_predictions": blocking(settings),
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": False,
        "max_iterations": 50,
        "em_convergence": 0.0001,
    }


def gamma(settings: MatchSettings, name: str, label: str) -> int:
    """Splink's number of a level: the strongest has the highest, `different` has 0."""
    levels = next(one.levels for one in settings.comparisons if one.name == name)
    return len(levels) - [level.label for level in levels].index(label)


def prior(probability: float, people: int, of_people: int) -> float:
    """The chance that two random people are one, in a company of another size.

    How often a person is there twice is a habit of the company; twice as many people make
    four times as many pairs, so the chance of a random pair falls with the size.
    """
    return min(LIKELIEST, probability * (people - 1) / max(1, of_people - 1))


def save(model: dict[str, Any], path: Path) -> None:
    """Write the model so that the same training gives the same bytes."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(
        json.dumps(model, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
    unfinished.replace(path)


def load(path: Path, settings: MatchSettings) -> dict[str, Any]:
    """What was learned, with the settings' blocking rules."""
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        learned = model["comparisons"]
        chance = float(model["probability_two_random_records_match"])
        fits = _without_numbers(learned) == _without_numbers(describe(settings)["comparisons"])
    except FileNotFoundError:
        raise ModelError(f"There is no model at {path}; train one.") from None
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{path.name} is not a model of this project; train again.") from None
    if not fits:
        raise ModelError(
            f"{path.name} was trained for other comparisons than {_first_misfit(learned, settings)}"
            "the settings now describe; train again."
        )
    return describe(settings) | {
        "comparisons": learned,
        "probability_two_random_records_match": chance,
    }


def of_size(model: dict[str, Any], people: int) -> dict[str, Any]:
    """The model for a company of so many people."""
    key = "probability_two_random_records_match"
    return model | {key: prior(model[key], STANDARD_PEOPLE, people)}


def _without_numbers(comparisons: Sequence[dict[str, Any]]) -> list[Any]:
    """What must be equal for what was learned to hold: the columns and conditions."""
    keys = ("sql_condition", "tf_adjustment_column", "tf_adjustment_weight", "is_null_level")
    return [
        (
            one["output_column_name"],
            [tuple(level.get(key) for key in keys) for level in one["comparison_levels"]],
        )
        for one in comparisons
    ]


def _first_misfit(learned: Sequence[dict[str, Any]], settings: MatchSettings) -> str:
    wanted = _without_numbers(describe(settings)["comparisons"])
    for one in wanted:
        if one not in _without_numbers(learned):
            return f"{one[0]} as "
    return ""
