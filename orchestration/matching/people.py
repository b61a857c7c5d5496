"""People made ready for comparing: folded columns, and keys that say whom to compare."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.errors import CdpError
from orchestration.matching.fold import macros
from orchestration.matching.kinds import KINDS
from orchestration.matching.settings import Comparison, Feature, MatchSettings, Rule

# Splink's column of the same meaning; an input column may have any name.
RECORD = "record_id"
PREPARED = "prepared"
NOTHING = "cast(null as varchar)"


class PeopleError(CdpError):
    """The file of people cannot be matched; the message says what it lacks."""


@dataclass(frozen=True)
class Prepared:
    """How many people there are, whom the rules compare at most, and what was left out."""

    people: int
    pairs: int
    notices: tuple[str, ...]


def quoted(name: str) -> str:
    """A column's name as SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def prepare(
    connection: duckdb.DuckDBPyConnection, people: Path, settings: MatchSettings
) -> Prepared:
    """Make the table `prepared`: one row per person, with a key for each blocking rule."""
    for statement in macros():
        connection.execute(statement)
    _read(connection, people, settings)
    count = _count(connection, settings)
    connection.execute(f"create table folded as {_folded(settings)}")
    connection.execute("drop table told")
    pairs = 0
    notices = []
    for number, rule in enumerate(settings.blocking_rules):
        kept, all_pairs, values = _bound(connection, number, rule, settings.max_pairs_per_rule)
        pairs += kept
        if kept < all_pairs:
            notices.append(
                f"Blocking rule {rule.text} would compare {all_pairs:,} pairs, more than "
                f"max_pairs_per_rule ({settings.max_pairs_per_rule:,}): the {values:,} values "
                f"that most people share were left out, {kept:,} pairs remain. "
                "Add a feature to the rule, or raise the limit."
            )
    _finish(connection, settings)
    return Prepared(count, pairs, tuple(notices))


def block_column(number: int) -> str:
    """The prepared column that a blocking rule compares."""
    return f"block_{number}"


def _read(connection: duckdb.DuckDBPyConnection, people: Path, settings: MatchSettings) -> None:
    """The columns that the settings name, as text."""
    if not people.is_file():
        raise PeopleError(f"There is no file of people at {people}.")
    try:
        described = connection.execute(
            f"describe select * from read_parquet({literal(str(people))})"
        ).fetchall()
    except duckdb.Error as error:
        raise PeopleError(f"{people.name} is not a Parquet file: {error}") from None
    present = {str(row[0]) for row in described}
    if settings.record_id not in present:
        raise PeopleError(f"{people.name} has no column {settings.record_id} (record_id).")
    for comparison in settings.comparisons:
        missing = sorted(set(comparison.columns.values()) - present)
        if missing:
            raise PeopleError(
                f"{people.name} has no column {', '.join(missing)}, which the comparison "
                f"{comparison.name} reads. Add it (null where unknown) or correct the settings."
            )
    wanted = sorted(
        {column for comparison in settings.comparisons for column in comparison.columns.values()}
    )
    texts = ", ".join(f"cast({quoted(column)} as varchar) as {quoted(column)}" for column in wanted)
    connection.execute(
        f"create table told as select cast({quoted(settings.record_id)} as varchar) as "
        f"__record, {texts} from read_parquet({literal(str(people))})"
    )


def _count(connection: duckdb.DuckDBPyConnection, settings: MatchSettings) -> int:
    rows, different, nulls = connection.execute(
        "select count(*), count(distinct __record), count(*) filter (where __record is null) "
        "from told"
    ).fetchall()[0]
    if nulls:
        raise PeopleError(f"{nulls:,} rows have no {settings.record_id}; each person needs one.")
    if different < rows:
        raise PeopleError(
            f"{rows - different:,} rows repeat a {settings.record_id}; give one row per person."
        )
    return int(rows)


def _folded(settings: MatchSettings) -> str:
    """Each comparison's columns, step by step, and what is to be ignored set aside at the end."""
    queries = [_told(settings)]
    columns: dict[str, list[str]] = {
        comparison.name: list(KINDS[comparison.kind].roles) for comparison in settings.comparisons
    }
    most = max(len(KINDS[comparison.kind].steps) for comparison in settings.comparisons)
    for number in range(most):
        made = []
        for comparison in settings.comparisons:
            name, steps = comparison.name, KINDS[comparison.kind].steps
            # A kind of fewer steps waits for the others.
            step = (
                steps[number] if number < len(steps) else {key: f"{{{key}}}" for key in steps[-1]}
            )
            known = {column: f"{name}_{column}" for column in columns[name]}
            made += [f"{step[key].format(**known)} as {name}_{key}" for key in step]
            columns[name] = list(step)
        queries.append(f"select __record, __ignored, {', '.join(made)} from step_{number}")
    steps_sql = ", ".join(
        f"step_{number} as materialized ({query})" for number, query in enumerate(queries)
    )
    kept = [
        column
        for comparison in settings.comparisons
        for column in _unless_ignored(comparison, f"step_{most}")
    ]
    return (
        f"with {steps_sql} select __record as {RECORD}, {', '.join(kept)} from step_{most} "
        "where __ignored is null"
    )


def _told(settings: MatchSettings) -> str:
    """The parts that come in, and beneath the people the values to ignore, folded as theirs are."""
    parts = [
        (comparison, role)
        for comparison in settings.comparisons
        for role in KINDS[comparison.kind].roles
    ]
    told = ", ".join(
        (quoted(comparison.columns[role]) if role in comparison.columns else NOTHING)
        + f" as {comparison.name}_{role}"
        for comparison, role in parts
    )
    queries = [f"select __record, {NOTHING} as __ignored, {told} from told"]
    for ignoring in settings.comparisons:
        for value in ignoring.ignore:
            first = (ignoring, KINDS[ignoring.kind].roles[0])
            row = ", ".join(literal(value) if part == first else NOTHING for part in parts)
            queries.append(f"select {NOTHING}, {literal(ignoring.name)}, {row}")
    return " union all ".join(queries)


def _unless_ignored(comparison: Comparison, folded: str) -> list[str]:
    """A value of the list `ignore` is nobody's own: all features of it are null."""
    kind = KINDS[comparison.kind]
    columns = [f"{comparison.name}_{feature}" for feature in kind.features]
    if not comparison.ignore:
        return columns
    key = f"{comparison.name}_{kind.keys[0]}"
    ignored = (
        f"select {key} from {folded} "
        f"where __ignored = {literal(comparison.name)} and {key} is not null"
    )
    return [
        f"case when {key} is null or {key} not in ({ignored}) then {column} end as {column}"
        for column in columns
    ]


def feature_value(feature: Feature) -> str:
    """What a rule demands to be equal."""
    column = quoted(feature.column)
    return column if feature.first is None else f"left({column}, {feature.first})"


def _bound(
    connection: duckdb.DuckDBPyConnection, number: int, rule: Rule, most: int
) -> tuple[int, int, int]:
    """The keys of one rule, without the values shared by so many that it would compare too much.

    Small groups go first: a name that three people share says more than a town of thousands.
    """
    known = " and ".join(f"{quoted(feature.column)} is not null" for feature in rule.features)
    told = " || chr(31) || ".join(feature_value(feature) for feature in rule.features)
    column = block_column(number)
    connection.execute(
        f"""
        create table {column} as
        with keys as (
            select {RECORD}, cast(hash({told}) >> 1 as bigint) as block from folded where {known}
        ),
        groups as (
            select
                block, count(*) * (count(*) - 1) // 2 as pairs, min({RECORD}) as first_record
            from keys group by block having count(*) > 1
        )
        select
            block, pairs,
            sum(pairs) over (order by pairs asc, first_record asc) <= {most} as is_kept
        from groups
        """
    )
    connection.execute(
        f"""
        create table {column}_people as
        select folded.{RECORD}, {column}.block as {column}
        from folded
        inner join {column}
            on cast(hash({told}) >> 1 as bigint) = {column}.block and {column}.is_kept
        where {known}
        """
    )
    kept, pairs, values = connection.execute(
        f"select coalesce(sum(pairs) filter (where is_kept), 0), coalesce(sum(pairs), 0), "
        f"count(*) filter (where not is_kept) from {column}"
    ).fetchall()[0]
    return int(kept), int(pairs), int(values)


def _finish(connection: duckdb.DuckDBPyConnection, settings: MatchSettings) -> None:
    """Everything Splink reads, in one table."""
    numbers = range(len(settings.blocking_rules))
    keys = "".join(f", {block_column(n)}_people.{block_column(n)}" for n in numbers)
    joins = "".join(
        f" left join {block_column(n)}_people "
        f"on folded.{RECORD} = {block_column(n)}_people.{RECORD}"
        for n in numbers
    )
    connection.execute(
        f"create table {PREPARED} as select folded.*{keys} from folded{joins} "
        f"order by folded.{RECORD} asc"
    )
    blocks = [block_column(n) for n in numbers]
    for table in ("folded", *blocks, *(f"{block}_people" for block in blocks)):
        connection.execute(f"drop table {table}")
