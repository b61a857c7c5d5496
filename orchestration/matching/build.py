"""Matching within a build: people out of the warehouse as Parquet, pairs back into it.

A build scores with the model of this home (`cdp match train`), or with the one that is shipped.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb

from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.landing.store import PAIRS_PLACE
from orchestration.matching import MODEL_FILE, MatchResult, load_settings, score, train
from orchestration.matching.settings import MatchSettings
from orchestration.warehouse.base import Warehouse

PEOPLE_PLACE = ("identity", "int_identity__people")
_PEOPLE = """
select record_id, first_name, last_name, birth_date, email, phone, address_line, city,
    postal_code, country_code
from {place}
"""
_PAIRS = """
select
    least(cast(record_id_a as bigint), cast(record_id_b as bigint)) as node_a,
    greatest(cast(record_id_a as bigint), cast(record_id_b as bigint)) as node_b,
    match_weight, match_probability, matched_on
from read_parquet(?) order by 1, 2
"""


def home_settings(home: Home) -> MatchSettings:
    """The home's `matching.yml`, or the settings that are shipped."""
    path = home.root / "matching.yml"
    return load_settings(path if path.exists() else None)


def home_model(home: Home) -> Path:
    return home.state / "matching_model.json"


def match_people(home: Home, warehouse: Warehouse, tell: Callable[[str], None]) -> MatchResult:
    """Score the people that the staged records tell of and put the pairs in place of the last."""
    model = home_model(home)
    with tempfile.TemporaryDirectory(dir=home.state) as folder:
        people, pairs = Path(folder) / "people.parquet", Path(folder) / "pairs.parquet"
        warehouse.export_parquet(_PEOPLE.format(place=warehouse.place(*PEOPLE_PLACE)), people)
        result = score(people, home_settings(home), model if model.exists() else MODEL_FILE, pairs)
        with duckdb.connect() as connection:
            found = connection.execute(_PAIRS, [str(pairs)]).to_arrow_table()
        with warehouse.transaction():
            warehouse.replace(*PAIRS_PLACE, found)
    for notice in result.notices:
        tell(f"matching: {notice}")
    tell(f"matching: {result.people:,} people, {result.pairs:,} candidate pairs")
    return result


def train_on_home(home: Home, warehouse: Warehouse, seed: int | None) -> Path:
    """Learn a model from this home's people; the builds from now on score with it."""
    place = warehouse.place(*PEOPLE_PLACE)
    if not warehouse.columns(*PEOPLE_PLACE):
        raise CdpError("There are no people to learn from yet: run `cdp run` first.")
    with tempfile.TemporaryDirectory(dir=home.state) as folder:
        people, model = Path(folder) / "people.parquet", Path(folder) / "model.json"
        warehouse.export_parquet(_PEOPLE.format(place=place), people)
        train(people, home_settings(home), model, seed)
        return model.replace(home_model(home))
