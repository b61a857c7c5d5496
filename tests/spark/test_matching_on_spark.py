"""Probable matches on Spark: the same pairs as on DuckDB, in a session of their own."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("pyspark")

from orchestration.errors import CdpError
from orchestration.matching import MODEL_FILE, load_settings, score
from orchestration.matching.engine import small_spark
from orchestration.matching.sample import make_sample


def test_spark_finds_the_pairs_that_duckdb_finds(tmp_path: Path) -> None:
    make_sample(tmp_path / "people.parquet", 400, seed=3)
    settings = load_settings()
    # Six rules of fourteen: each is a join to plan, and on few people planning is all there is.
    on_duckdb = settings.model_copy(
        update={"blocking_rules": settings.blocking_rules[:1] + settings.blocking_rules[5:10]}
    )
    on_spark = on_duckdb.model_copy(update={"engine": "spark", "threads": 1})
    results = [
        score(tmp_path / "people.parquet", chosen, MODEL_FILE, tmp_path / f"{number}.parquet")
        for number, chosen in enumerate((on_duckdb, on_spark))
    ]
    tables = [pq.read_table(tmp_path / f"{number}.parquet").to_pylist() for number in (0, 1)]
    assert len(tables[0]) > 25
    assert results[0].comparisons == results[1].comparisons
    for one, other in zip(*tables, strict=True):
        assert one["match_weight"] == pytest.approx(other["match_weight"], abs=1e-9)
        assert one["match_probability"] == pytest.approx(other["match_probability"], abs=1e-9)
        for key in ("record_id_a", "record_id_b", "matched_on"):
            assert one[key] == other[key]


def test_no_session_is_left_and_none_is_taken_over(tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    settings = load_settings().model_copy(update={"threads": 1, "memory_limit": "512MB"})
    with (
        small_spark(settings),
        pytest.raises(CdpError, match="one of its own"),
        small_spark(settings),
    ):
        pass
    assert SparkSession.getActiveSession() is None
