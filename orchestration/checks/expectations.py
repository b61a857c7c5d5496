"""Checks at the two borders: what landed, and what is about to leave.

Great Expectations runs over pandas frames in a context that lives in memory; most expectations
are worked out from the declarations, so a new column is checked without a line here. Results
hold counts, never values.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import pandas as pd

from orchestration.checks.written import LANDED_FILES, PAYLOAD, ROW_RULES, WrittenCheck
from orchestration.landing.checking import (
    DATE_SHAPE,
    EPOCH_SHAPE,
    FALSE,
    INTEGER_SHAPE,
    NUMBER_SHAPE,
    TIME_SHAPE,
    TRUE,
)
from orchestration.landing.declarations import Column, Table
from orchestration.landing.report import TableResult

DEFAULT_MOSTLY = 0.99
EMAIL_SHAPE = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"


@dataclass(frozen=True)
class CheckResult:
    """One check of one asset, told in counts."""

    name: str
    asset: str
    passed: bool
    severity: str
    observed: str
    description: str


@dataclass(frozen=True)
class Expectation:
    """An expectation with the stable name and the words a person reads."""

    name: str
    description: str
    kind: str
    arguments: Mapping[str, Any]
    severity: str = "error"


def snake(text: str) -> str:
    """A stable snake_case name: `InvoiceNo` -> `invoice_no`, `_fivetran_synced` -> same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


@contextmanager
def _no_spark() -> Iterator[None]:
    """The library takes Spark in where it finds it, for seconds and with remarks; no frame is."""
    kept = sys.modules.get("pyspark")
    sys.modules["pyspark"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["pyspark"]
        if kept is not None:
            sys.modules["pyspark"] = kept


@cache
def _border() -> tuple[Any, Any]:
    """The library and a batch of any frame: imported late (it takes seconds), telemetry off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with _no_spark():
        import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    variables: Any = context.variables
    variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("border").add_dataframe_asset("frame")
    return gx, asset.add_batch_definition_whole_dataframe("whole")


def run_expectations(
    asset: str, frame: pd.DataFrame, expectations: Iterable[Expectation]
) -> list[CheckResult]:
    """Run expectations over a frame; each gives one result of its own name."""
    listed = list(expectations)
    if not listed:
        return []
    gx, batches = _border()
    # Validating the batch itself leaves out GX's stores, which serialise the suite once per
    # expectation (measured: half of the time).
    suite = gx.ExpectationSuite(
        name="border",
        expectations=[
            getattr(gx.expectations, expectation.kind)(
                **expectation.arguments, meta={"check": expectation.name}
            )
            for expectation in listed
        ],
    )
    batch = batches.get_batch(batch_parameters={"dataframe": frame})
    validated = batch.validate(suite, result_format="BASIC")
    by_name = {expectation.name: expectation for expectation in listed}
    results = {}
    for outcome in validated.results:
        expectation = by_name[outcome.expectation_config.meta["check"]]
        results[expectation.name] = CheckResult(
            name=expectation.name,
            asset=asset,
            passed=bool(outcome.success),
            severity=expectation.severity,
            observed=_observed(outcome),
            description=expectation.description,
        )
    return [results[expectation.name] for expectation in listed]


def _observed(outcome: Any) -> str:
    """Counts only: GX also offers samples of the values, which may be personal."""
    raised = outcome.exception_info or {}
    if raised.get("raised_exception") or any(
        isinstance(info, dict) and info.get("raised_exception") for info in raised.values()
    ):
        return "could not be evaluated"
    found = outcome.result
    if "unexpected_count" in found:
        return f"{found['unexpected_count']:,} of {found['element_count']:,} unexpected"
    if isinstance(found.get("observed_value"), int | float):
        return f"{found['observed_value']:,}"
    return "as expected" if outcome.success else "not as expected"


# What landed ----------------------------------------------------------------------------------


def landed_expectations(table: Table, mostly: float = DEFAULT_MOSTLY) -> list[Expectation]:
    """The expectations that follow from a table's declaration, over the text as it landed."""
    found: list[Expectation] = []
    for column in table.columns:
        found += _column_expectations(column, column.name in table.key, mostly)
    return found


def _column_expectations(column: Column, is_key: bool, mostly: float) -> list[Expectation]:
    name = snake(column.name)
    share = f"{mostly:.0%}"
    found: list[Expectation] = []

    def add(suffix: str, words: str, kind: str, **arguments: Any) -> None:
        words = f"{column.name}: {words}"
        arguments = {"column": column.name, "mostly": mostly, **arguments}
        found.append(Expectation(f"{name}_{suffix}", words, kind, arguments))

    if is_key:
        add(
            "key_is_given",
            "part of the key, never empty",
            "ExpectColumnValuesToNotBeNull",
            mostly=1.0,
        )
    elif column.required:
        add("is_given", f"given in {share} of rows", "ExpectColumnValuesToNotBeNull")
    shape = _shape(column)
    if shape:
        add(
            "is_readable",
            f"readable as {_noun(column)} in {share} of values",
            "ExpectColumnValuesToMatchRegex",
            regex=shape,
        )
    if column.accepted:
        origin = f"seed {column.seed}" if column.seed else ", ".join(column.accepted)
        add(
            "is_accepted",
            f"one of the accepted values ({origin}) in {share} of values",
            "ExpectColumnValuesToBeInSet",
            value_set=list(column.accepted),
        )
    if column.minimum is not None or column.maximum is not None:
        low = None if column.minimum is None else float(column.minimum)
        high = None if column.maximum is None else float(column.maximum)
        add(
            "is_in_range",
            f"within {_range_words(column)} in {share} of values",
            "ExpectColumnValuesToBeBetween",
            column=number_column(column.name),
            min_value=low,
            max_value=high,
        )
    if column.is_time and not _is_epoch(column):
        add(
            "is_in_time",
            f"between 1900 and 2100 in {share} of values",
            "ExpectColumnValuesToMatchRegex",
            regex=r"^\s*(?!\d{4}-)|^\s*(?:19|20)\d{2}-",
        )
    return found


def number_column(name: str) -> str:
    """The name under which the number read from a text column stands beside it."""
    return f"{name} (number)"


def _range_words(column: Column) -> str:
    low = "any" if column.minimum is None else str(column.minimum)
    high = "any" if column.maximum is None else str(column.maximum)
    return f"{low} to {high}"


def _is_epoch(column: Column) -> bool:
    """Whether a time travels as a number."""
    return column.format == "epoch_milliseconds"


def _noun(column: Column) -> str:
    return "milliseconds since 1970" if _is_epoch(column) else column.data_type


def _shape(column: Column) -> str | None:
    if _is_epoch(column):
        return rf"^\s*{EPOCH_SHAPE}\s*$"
    shape = {
        "bigint": INTEGER_SHAPE,
        "date": DATE_SHAPE,
        "timestamp": TIME_SHAPE,
        "boolean": "(?i:" + "|".join(TRUE + FALSE) + ")",
    }.get(column.data_type, NUMBER_SHAPE if column.is_number else None)
    if shape is None:
        return None
    # pandas warns of capturing groups, which it would extract.
    plain = re.sub(r"(?<!\\)\((?!\?)", "(?:", shape)
    return rf"^\s*(?:{plain})\s*$"


def landed_frame(result: TableResult) -> pd.DataFrame:
    """The sample of the text as it landed, rows that were rejected for their values included."""
    sample = result.sample.table()
    return pd.DataFrame() if sample is None else sample.to_pandas()


def files_frame(result: TableResult) -> pd.DataFrame:
    """One row per file of the landing, with its counts."""
    frame = pd.DataFrame(
        {
            "file": [file.file for file in result.files],
            "status": [file.status for file in result.files],
            "landed": [file.landed for file in result.files],
            "loaded": [file.loaded for file in result.files],
            "rejected": [file.rejected for file in result.files],
            "duplicate": [file.duplicate for file in result.files],
            "suppressed": [file.suppressed for file in result.files],
            "unknown_columns": [len(file.unknown_columns) for file in result.files],
        }
    )
    return frame


def check_landed(
    table: Table,
    rows: pd.DataFrame,
    files: pd.DataFrame,
    mostly: float = DEFAULT_MOSTLY,
    as_of: date | None = None,
    settings: Mapping[str, float] | None = None,
    rejected_by_rule: Mapping[str, int] | None = None,
) -> list[CheckResult]:
    """Check one table's landed batch.

    `rows` is text as `landed_frame` gives it, `files` as `files_frame` does; `settings` moves
    the limit of a written check by its name.
    """
    asset = table.label
    results: list[CheckResult] = []
    if len(rows):
        frame = _with_numbers(table, rows.replace("", None))
        results += run_expectations(asset, frame, landed_expectations(table, mostly))
    summary = files_summary(table, rows, files, as_of)
    by_rule = rule_checks(table, 1 - mostly)
    landed = float(files["landed"].sum()) if len(files) else 0.0
    for check in by_rule:
        count = (rejected_by_rule or {}).get(check.measure, 0)
        summary[check.measure] = count / landed if landed else 0.0
    results += _written(asset, summary, (*LANDED_FILES, *by_rule), settings)
    return results


def rule_checks(table: Table, limit: float) -> list[WrittenCheck]:
    """One check per rule of the table and per way in which a row can be unreadable."""
    rules = {rule.name: rule.message for rule in table.rules} | ROW_RULES
    return [
        WrittenCheck(
            f"few_rows_break_{snake(name)}",
            name,
            "at most {limit:.0%} of the landed rows break the rule: " + words,
            limit=round(limit, 6),
            is_share=True,
        )
        for name, words in rules.items()
    ]


def check_landed_table(
    table: Table,
    result: TableResult,
    as_of: date,
    mostly: float = DEFAULT_MOSTLY,
    settings: Mapping[str, float] | None = None,
) -> list[CheckResult]:
    """Check what one landing brought to one table, from the landing's own report."""
    return check_landed(
        table,
        landed_frame(result),
        files_frame(result),
        mostly,
        as_of,
        settings,
        result.rules,
    )


def _with_numbers(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """Beside each bounded column the number it holds; unreadable text is another check's."""
    bounded = [c for c in table.columns if c.minimum is not None or c.maximum is not None]
    if not bounded:
        return rows
    numbers = {
        number_column(column.name): pd.to_numeric(rows[column.name], errors="coerce")
        for column in bounded
    }
    return pd.concat([rows, pd.DataFrame(numbers, index=rows.index)], axis=1)


def files_summary(
    table: Table, rows: pd.DataFrame, files: pd.DataFrame, as_of: date | None
) -> pd.DataFrame:
    """One row with the measures that the written checks look at."""
    landed = int(files["landed"].sum()) if len(files) else 0
    read = files[files["status"].isin(["loaded", "duplicate"])] if len(files) else files
    measures: dict[str, float] = {
        "refused_files": float((files["status"] == "refused").sum()) if len(files) else 0.0,
        "rejected_share": files["rejected"].sum() / landed if landed else 0.0,
        "duplicate_share": files["duplicate"].sum() / landed if landed else 0.0,
        "empty_files": float((read["landed"] == 0).sum()) if len(read) else 0.0,
        "unaccounted_rows": (
            float(landed - files[["loaded", "rejected", "duplicate", "suppressed"]].sum().sum())
            if len(files)
            else 0.0
        ),
        "unknown_columns": float(files["unknown_columns"].max()) if len(files) else 0.0,
        "future_share": _future_share(table, rows, as_of),
    }
    return pd.DataFrame([measures])


def _future_share(table: Table, rows: pd.DataFrame, as_of: date | None) -> float:
    """Share of required times later than the day after the landing's date."""
    if as_of is None or not len(rows):
        return 0.0
    times = [column for column in table.columns if column.is_time and column.required]
    if not times:
        return 0.0
    last = date.fromordinal(as_of.toordinal() + 1).isoformat()
    days = pd.DataFrame({column.name: _days(column, rows[column.name]) for column in times})
    plain = days.apply(lambda values: values.str.match(r"^(19|20)\d{2}-\d{2}-\d{2}$", na=False))
    late = (days > last).fillna(False) & plain
    return float(late.any(axis=1).mean())


def _days(column: Column, values: pd.Series) -> pd.Series:
    """The first ten signs of a time, which are its day where it is one."""
    if _is_epoch(column):
        numbers = pd.to_numeric(values, errors="coerce")
        values = pd.to_datetime(numbers, unit="ms", errors="coerce").dt.strftime("%Y-%m-%d")
    return values.astype("string").str.strip().str.slice(0, 10)


def _written(
    asset: str,
    summary: pd.DataFrame,
    checks: Iterable[WrittenCheck],
    settings: Mapping[str, float] | None,
) -> list[CheckResult]:
    """The written checks: one measure each, compared with its limit."""
    limits = dict(settings or {})
    listed = list(checks)
    expectations = [
        Expectation(
            check.name,
            _worded(check, limits.get(check.name, check.limit)),
            "ExpectColumnMaxToBeBetween",
            {"column": check.measure, "max_value": limits.get(check.name, check.limit)},
            check.severity,
        )
        for check in listed
    ]
    results = run_expectations(asset, summary, expectations)
    told = []
    for check, result in zip(listed, results, strict=True):
        value = float(summary[check.measure].iloc[0])
        observed = f"{value:.2%}" if check.is_share else f"{value:,.0f}"
        told.append(
            CheckResult(
                result.name,
                result.asset,
                result.passed,
                result.severity,
                observed,
                result.description,
            )
        )
    return told


def _worded(check: WrittenCheck, limit: float) -> str:
    # Not str.format: the words of a declared rule may hold braces of their own.
    return check.description.replace("{limit:.0%}", f"{limit:.0%}")


# What leaves ----------------------------------------------------------------------------------


def check_payload(
    sync: str,
    frame: pd.DataFrame,
    key: str = "customer_id",
    contact_columns: Iterable[str] = ("email", "phone"),
    reason_column: str = "withheld_reason",
) -> list[CheckResult]:
    """Check a payload before it leaves: one row per key, and no contact point without consent."""
    missing = [name for name in (key, reason_column) if name not in frame.columns]
    contacts = [name for name in contact_columns if name in frame.columns]
    if not contacts:
        missing.append("a contact point")
    shape = CheckResult(
        "payload_has_its_columns",
        sync,
        not missing,
        "error",
        f"{len(missing)} missing" + (f": {', '.join(missing)}" if missing else ""),
        "the key, the reason for withholding and a contact point are columns of the payload",
    )
    if missing:
        return [shape]
    reason = _given(frame[reason_column])
    reached = pd.concat([_given(frame[name]) for name in contacts], axis=1).any(axis=1)
    measured = pd.DataFrame(
        {
            "key": frame[key].astype("string"),
            "permitted_without_contact": (~reason & ~reached).astype(int),
            "withheld_with_contact": (reason & reached).astype(int),
        }
    )
    expectations = [
        Expectation(
            "key_is_given",
            f"{key} is never empty",
            "ExpectColumnValuesToNotBeNull",
            {"column": "key"},
        ),
        Expectation(
            "key_is_unique",
            f"one row per {key}",
            "ExpectColumnValuesToBeUnique",
            {"column": "key"},
        ),
    ]
    expectations += [
        Expectation(
            check.name,
            check.description,
            "ExpectColumnValuesToBeInSet",
            {"column": check.measure, "value_set": [0]},
            check.severity,
        )
        for check in PAYLOAD
    ]
    if "email" in contacts:
        measured["email"] = frame["email"].where(_given(frame["email"]), None)
        expectations.append(
            Expectation(
                "email_is_an_address",
                "every e-mail given has the shape of an address (or is a SHA-256 hash)",
                "ExpectColumnValuesToMatchRegex",
                {"column": "email", "regex": rf"{EMAIL_SHAPE}|^[0-9a-f]{{64}}$"},
            )
        )
    if not len(frame):
        return [shape]
    return [shape, *run_expectations(sync, measured, expectations)]


def _given(values: pd.Series) -> pd.Series:
    """Whether a text is there: null and empty both mean no."""
    return values.notna() & (values.astype("string").str.strip().fillna("") != "")
