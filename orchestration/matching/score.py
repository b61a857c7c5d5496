"""Score people with a saved model: candidate pairs, how likely each is one person, and why."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from orchestration.matching.engine import quiet_splink, small_duckdb, small_spark, spark_api
from orchestration.matching.model import gamma, load, of_size
from orchestration.matching.people import PREPARED, RECORD, literal, prepare
from orchestration.matching.settings import MatchSettings

PAIRS_SCHEMA = (
    "record_id_a varchar, record_id_b varchar, match_weight double, match_probability double, "
    "matched_on varchar"
)


@dataclass(frozen=True)
class MatchResult:
    """What a scoring did; a notice says what was left out and how to get it."""

    people: int
    comparisons: int
    pairs: int
    seconds: float
    notices: tuple[str, ...] = ()


def score(people: Path, settings: MatchSettings, model_path: Path, pairs_path: Path) -> MatchResult:
    """Write the candidate pairs of these people; the same people and model, the same rows."""
    begun = time.perf_counter()
    model = load(model_path, settings)
    with small_duckdb(settings) as connection, quiet_splink():
        prepared = prepare(connection, people, settings)
        comparisons = 0
        connection.execute(f"create table pairs ({PAIRS_SCHEMA})")
        # Splink has nothing to say where nobody is to be compared.
        if prepared.pairs:
            compare = _on_spark if settings.engine == "spark" else _on_duckdb
            scored, comparisons = compare(
                connection, of_size(model, prepared.people), settings, pairs_path.parent
            )
            connection.execute(f"insert into pairs {_candidates(scored, settings)}")
        found = connection.execute("select count(*) from pairs").fetchall()[0][0]
        _write(connection, pairs_path)
    return MatchResult(
        people=prepared.people,
        comparisons=comparisons,
        pairs=int(found),
        seconds=time.perf_counter() - begun,
        notices=prepared.notices,
    )


def _on_duckdb(
    connection: duckdb.DuckDBPyConnection,
    model: dict[str, Any],
    settings: MatchSettings,
    _: Path,
) -> tuple[str, int]:
    """The table of scored pairs, and how many were compared."""
    from splink import DuckDBAPI, Linker

    api = DuckDBAPI(connection)
    linker = Linker(api.register(PREPARED), model, log_level=None)
    blocked = linker.inference.compute_blocked_pairs_for_predict()
    count = connection.execute(f"select count(*) from {blocked.physical_name}").fetchall()[0][0]
    scored = linker.inference.predict(
        threshold_match_probability=settings.candidate_probability, warning_mode="never"
    )
    return scored.physical_name, int(count)


def _on_spark(
    connection: duckdb.DuckDBPyConnection,
    model: dict[str, Any],
    settings: MatchSettings,
    folder: Path,
) -> tuple[str, int]:
    """The same by Spark: people go there, and scored pairs come back, as Parquet."""
    import tempfile

    from splink import Linker

    with tempfile.TemporaryDirectory(prefix=".matching-", dir=folder) as place:
        there, back = Path(place) / "people.parquet", Path(place) / "pairs"
        connection.execute(f"copy {PREPARED} to {literal(str(there))} (format parquet)")
        with small_spark(settings) as session:
            api = spark_api(session)
            linker = Linker(api.register(session.read.parquet(str(there))), model, log_level=None)
            blocked = linker.inference.compute_blocked_pairs_for_predict()
            count = int(session.table(blocked.physical_name).count())
            scored = linker.inference.predict(
                threshold_match_probability=settings.candidate_probability, warning_mode="never"
            )
            session.table(scored.physical_name).write.parquet(str(back))
        connection.execute(
            f"create table scored as select * from read_parquet({literal(str(back / '*.parquet'))})"
        )
    return "scored", count


def _candidates(scored: str, settings: MatchSettings) -> str:
    """Pairs above the threshold that agree where they must, each with its reasons."""
    reasons = []
    demanded = ["true"]
    for comparison in settings.comparisons:
        column = f"gamma_{comparison.name}"
        cases = " ".join(
            f"when {gamma(settings, comparison.name, level.label)} "
            f"then {literal(f'{comparison.name}: {level.label}')}"
            for level in comparison.levels
        )
        reasons.append(f"case {column} {cases} end")
        if comparison.at_least is not None:
            least = gamma(settings, comparison.name, comparison.at_least)
            demanded.append(f"({column} = -1 or {column} >= {least})")
    return (
        f"select least({RECORD}_l, {RECORD}_r), greatest({RECORD}_l, {RECORD}_r), "
        f"match_weight, match_probability, concat_ws('; ', {', '.join(reasons)}) "
        f"from {scored} where match_probability >= {settings.candidate_probability} "
        f"and {' and '.join(demanded)}"
    )


def _write(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """The file appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    connection.execute(
        "copy (select * from pairs order by record_id_a asc, record_id_b asc) "
        f"to {literal(str(unfinished))} (format parquet)"
    )
    unfinished.replace(path)
