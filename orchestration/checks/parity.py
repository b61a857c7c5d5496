"""Whether two warehouses hold the same tables: every row, every column, whatever the engine.

Rows are matched on all their columns but floating-point ones; those may differ by what the
order of an addition does to the last digits. Nothing else may differ, types included.
"""

import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.warehouse.base import Warehouse, quoted

# The largest relative difference of two floating-point numbers that count as equal.
TOLERANCE = 1e-9
SHOWN_ROWS = 3
# Names of runs, and how long they took, differ with every run.
RUN_NAMES = frozenset({"run_id", "solve_seconds"})


@dataclass(frozen=True)
class TableParity:
    """One table: its rows on either side and how many have no equal on the other."""

    table: str
    left_rows: int
    right_rows: int
    differences: int
    examples: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        return self.differences == 0


def compare_warehouses(
    left: Warehouse,
    right: Warehouse,
    tables: Iterable[tuple[str, str]],
    ignored: Collection[str] = RUN_NAMES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[TableParity]:
    """Compare (schema, table) pairs; `ignored` columns are left out on both sides."""
    compared = []
    with tempfile.TemporaryDirectory() as folder:
        for schema, table in tables:
            files = Path(folder) / "left.parquet", Path(folder) / "right.parquet"
            for path, warehouse in zip(files, (left, right), strict=True):
                path.unlink(missing_ok=True)
                warehouse.export_parquet(f"select * from {warehouse.place(schema, table)}", path)
            result = compare_files(f"{schema}.{table}", *files, ignored=ignored)
            if not result.is_equal:
                progress(f"{result.table}: {result.differences:,} differences")
            compared.append(result)
    return compared


def compare_files(
    name: str, left: Path, right: Path, ignored: Collection[str] = RUN_NAMES
) -> TableParity:
    """Compare two Parquet files as sets of rows with their multiplicity."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        kinds = []
        for side, path in (("left_rows", left), ("right_rows", right)):
            escaped = str(path).replace("'", "''")
            connection.execute(f"create view {side} as select * from read_parquet('{escaped}')")
            kinds.append(
                {
                    str(row[0]): str(row[1])
                    for row in connection.execute(f"describe {side}").fetchall()
                    if row[0] not in ignored
                }
            )
        left_count, right_count = (
            int(connection.execute(f"select count(*) from {side}").fetchall()[0][0])
            for side in ("left_rows", "right_rows")
        )
        if kinds[0] != kinds[1]:
            other = {name: kinds[1].get(name) for name in {**kinds[0], **kinds[1]}}
            told = tuple(
                f"column {column}: {kinds[0].get(column)} and {kind}"
                for column, kind in other.items()
                if kinds[0].get(column) != kind
            )
            return TableParity(name, left_count, right_count, max(left_count, right_count, 1), told)
        differences, examples = _differences(connection, kinds[0])
        return TableParity(name, left_count, right_count, differences, examples)


def _differences(
    connection: duckdb.DuckDBPyConnection, kinds: dict[str, str]
) -> tuple[int, tuple[str, ...]]:
    exact = [quoted(name) for name, kind in kinds.items() if kind not in ("DOUBLE", "FLOAT")]
    floats = [quoted(name) for name, kind in kinds.items() if kind in ("DOUBLE", "FLOAT")]
    keys = ", ".join(exact) or "1"
    order = ", ".join([*exact, *floats])
    numbered = (
        f"select *, row_number() over (partition by {keys} order by {order}) as repetition from "
    )
    matched = " and ".join(
        [f"a.{name} is not distinct from b.{name}" for name in exact]
        + ["a.repetition = b.repetition"]
    )
    close = "".join(
        f" and (a.{name} is not distinct from b.{name} or abs(a.{name} - b.{name}) "
        f"<= {TOLERANCE} * greatest(abs(a.{name}), abs(b.{name})))"
        for name in floats
    )
    connection.execute(
        f"""
        create temp table found as
        select
            a.repetition is not null as is_left,
            case when a.repetition is not null then a else b end as kept
        from ({numbered} left_rows) as a
        full join ({numbered} right_rows) as b on {matched}
        where not coalesce(a.repetition is not null and b.repetition is not null{close}, false)
        """
    )
    count = int(connection.execute("select count(*) from found").fetchall()[0][0])
    shown = connection.execute(
        "select is_left, kept from found order by kept, is_left limit ?", [SHOWN_ROWS * 2]
    ).fetchall()
    return count, tuple(f"{'left' if is_left else 'right'}: {kept}" for is_left, kept in shown)
