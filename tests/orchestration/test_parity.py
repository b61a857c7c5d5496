"""The comparison itself: it must be blind to order and last digits, and to nothing else."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.checks.parity import TableParity, compare_files

COLUMNS = {"id": pa.string(), "amount": pa.decimal128(18, 4), "share": pa.float64()}
LEFT: list[tuple[Any, ...]] = [
    ("a", Decimal("1"), 0.1),
    ("a", Decimal("1"), 0.1),
    ("b", None, None),
]


def written(path: Path, rows: list[tuple[Any, ...]], **kinds: pa.DataType) -> Path:
    columns = {**COLUMNS, **kinds}
    schema = pa.schema(list(columns.items()))
    pq.write_table(
        pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema), path
    )
    return path


def compared(folder: Path, right: list[tuple[Any, ...]], **kinds: pa.DataType) -> TableParity:
    left = written(folder / "left.parquet", LEFT)
    return compare_files("t", left, written(folder / "right.parquet", right, **kinds))


@pytest.mark.parametrize(
    "right",
    [
        LEFT[::-1],
        [("a", Decimal("1"), 0.1 * (1 + 1e-10)), ("b", None, None), ("a", Decimal("1"), 0.1)],
    ],
    ids=["another order", "the last digits"],
)
def test_equal_tables_have_no_difference(tmp_path: Path, right: list[tuple[Any, ...]]) -> None:
    assert compared(tmp_path, right) == TableParity("t", 3, 3, 0)


@pytest.mark.parametrize(
    ("right", "differences"),
    [
        (LEFT[:2], 1),
        ([*LEFT, LEFT[0]], 1),
        ([LEFT[0], LEFT[2], LEFT[2]], 2),
        ([*LEFT[:2], ("b", None, 0.0)], 1),
        ([*LEFT[:2], ("b", Decimal("0.0001"), None)], 2),
        ([*LEFT[:2], (None, None, None)], 2),
        ([LEFT[0], ("a", Decimal("1"), 0.1 * (1 + 1e-8)), LEFT[2]], 1),
        ([("A", *LEFT[0][1:]), *LEFT[1:]], 2),
        ([], 3),
    ],
    ids=[
        "a row less", "a row more", "one for another", "nothing and zero", "a hundredth of a cent",
        "an id less", "more than the last digits", "the case of a letter", "none",
    ],
)  # fmt: skip
def test_every_difference_is_counted_and_shown(
    tmp_path: Path, right: list[tuple[Any, ...]], differences: int
) -> None:
    found = compared(tmp_path, right)
    assert (found.differences, found.is_equal) == (differences, False)
    assert found.examples
    assert found.right_rows == len(right)


def test_another_type_is_a_difference(tmp_path: Path) -> None:
    right = [("a", 1, 0.1), ("a", 1, 0.1), ("b", None, None)]
    found = compared(tmp_path, right, amount=pa.int64())
    assert found.examples == ("column amount: DECIMAL(18,4) and BIGINT",)
    assert not found.is_equal


def test_a_column_that_one_side_lacks_is_a_difference(tmp_path: Path) -> None:
    left = written(tmp_path / "left.parquet", LEFT)
    lacking = pq.read_table(left).drop_columns(["share"])
    pq.write_table(lacking, tmp_path / "right.parquet")
    found = compare_files("t", left, tmp_path / "right.parquet")
    assert found.examples == ("column share: DOUBLE and None",)


def test_names_of_runs_are_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / "left.parquet", tmp_path / "right.parquet"]
    for path in paths:
        pq.write_table(pa.table({"run_id": [path.name], "id": ["a"]}), path)
    assert compare_files("t", *paths).is_equal
    assert not compare_files("t", *paths, ignored=()).is_equal
