"""Short reads of the published private file: payloads, permissions and its age.

DuckDB keeps one instance per path and process, so every connection here is closed before
anything is sent; the file may be swapped for a newer one at any time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from orchestration.destinations.base import Row
from orchestration.errors import CdpError
from orchestration.home import Home
from orchestration.privacy.suppressions import read_suppressions
from orchestration.syncs.settings import SCHEMA, Consent, SyncSettings

ContactPoint = tuple[str, str]
FileStamp = tuple[int, int, int]


class Refused(CdpError):
    """The source must not be sent from; `code` names why in the ledger."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Publication:
    """Which build the rows come from."""

    publication_id: str
    published_at: datetime
    as_of_date: date | None
    code_hash: str

    def refuse_if_stale(self, consent: Consent, now: datetime) -> None:
        """Old permissions are no permissions: someone may have opted out since."""
        age = now - self.published_at
        if consent.exempt is None and age > timedelta(hours=consent.max_age_hours):
            hours = int(age.total_seconds() // 3600)
            raise Refused(
                "publication_stale",
                f"The published data is {hours} hours old and consent may be at most "
                f"{consent.max_age_hours:g} hours old (meta.sync.consent.max_age_hours). Run "
                "`cdp run` to publish anew.",
            )


@dataclass(frozen=True)
class SourceRow:
    """One payload row with what the permissions say about it."""

    row: Row = field(repr=False)
    is_permitted: bool
    withheld_reason: str | None


@dataclass(frozen=True)
class Source:
    """A consistent read of one payload table."""

    publication: Publication
    rows: tuple[SourceRow, ...]


def file_stamp(home: Home) -> FileStamp:
    """Changes whenever a new file is swapped in."""
    try:
        stat = home.private_file.stat()
    except FileNotFoundError:
        raise _nothing_published() from None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def read_source(home: Home, sync: SyncSettings, now: datetime) -> Source:
    """The payload rows of a sync, ordered by key; refuses what must not be sent."""
    with _connect(home.private_file) as connection:
        publication = _read_publication(connection)
        publication.refuse_if_stale(sync.meta.consent, now)
        columns = _columns(connection, sync)
        _refuse_bad_keys(connection, sync)
        rows = _read_rows(connection, sync, columns)
        return Source(publication, tuple(_without_suppressed(rows, suppressed_points(home))))


def read_permissions(
    home: Home, consent: Consent, customer_ids: Iterable[str], now: datetime
) -> tuple[Publication, dict[str, set[ContactPoint]]]:
    """The contact points these customers permit now, in the file that is published now."""
    permitted: dict[str, set[ContactPoint]] = defaultdict(set)
    with _connect(home.private_file) as connection:
        publication = _read_publication(connection)
        publication.refuse_if_stale(consent, now)
        rows = connection.execute(
            """
            select customer_id, contact_point_type, contact_point
            from profile.contact_permissions
            where channel = ? and purpose = ?
                and customer_id in (select unnest(?::varchar[]))
            group by customer_id, contact_point_type, contact_point
            having bool_and(coalesce(is_permitted, false))
            """,
            [consent.channel, consent.purpose, list(customer_ids)],
        ).fetchall()
    suppressed = suppressed_points(home)
    for customer_id, contact_point_type, contact_point in rows:
        if (contact_point_type, contact_point) not in suppressed:
            permitted[customer_id].add((contact_point_type, contact_point))
    return publication, permitted


def suppressed_points(home: Home) -> frozenset[ContactPoint]:
    """Contact points that a person asked to be left alone at, known before the next build."""
    return frozenset(read_suppressions(home))


def _without_suppressed(
    rows: Iterable[SourceRow], suppressed: frozenset[ContactPoint]
) -> Iterator[SourceRow]:
    for row in rows:
        point = (row.row.contact_point_type or "", row.row.contact_point or "")
        is_suppressed = row.is_permitted and point in suppressed
        yield (
            replace(row, is_permitted=False, withheld_reason="suppressed") if is_suppressed else row
        )


def _nothing_published() -> Refused:
    return Refused("nothing_published", "Nothing is published yet. Run `cdp run` first.")


@contextmanager
def _connect(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    if not path.exists():
        raise _nothing_published()
    connection = duckdb.connect(str(path), read_only=True)
    try:
        yield connection
    finally:
        connection.close()


def _read_publication(connection: duckdb.DuckDBPyConnection) -> Publication:
    try:
        rows = connection.execute(
            "select publication_id, published_at, as_of_date, code_hash from publication.info"
        ).fetchall()
    except duckdb.CatalogException:
        rows = []
    if len(rows) != 1 or rows[0][1] is None:
        raise Refused(
            "publication_unknown",
            "The published file does not say when it was published. Run `cdp run` to publish anew.",
        )
    publication_id, published_at, as_of_date, code_hash = rows[0]
    if published_at.tzinfo is None:
        published_at = published_at.replace(tzinfo=UTC)
    return Publication(str(publication_id), published_at, as_of_date, str(code_hash))


def _columns(connection: duckdb.DuckDBPyConnection, sync: SyncSettings) -> list[str]:
    """The columns to read; the table and each of them must exist."""
    found = {
        name
        for (name,) in connection.execute(
            """
            select column_name from information_schema.columns
            where table_schema = ? and table_name = ?
            """,
            [SCHEMA, sync.name],
        ).fetchall()
    }
    if not found:
        raise Refused(
            "source_missing",
            f"The published file has no table {sync.relation}. Nothing is sent or removed; run "
            "`cdp run` to publish it.",
        )
    fixed = [
        sync.meta.key,
        "customer_id",
        "is_permitted",
        "withheld_reason",
        "contact_point_type",
        "contact_point",
    ]
    columns = [*fixed, *sync.meta.fields.values()]
    missing = sorted(set(columns) - found)
    if missing:
        raise Refused(
            "columns_missing",
            f"{sync.relation} has no column {', '.join(missing)}, which the sync needs. Correct "
            "the model or meta.sync.fields.",
        )
    return columns


def _refuse_bad_keys(connection: duckdb.DuckDBPyConnection, sync: SyncSettings) -> None:
    """Two rows for one key would make the result depend on luck. Counts are named, not values."""
    key, relation = sync.meta.key, sync.relation
    counts = connection.execute(
        f"""
        select
            (select count(*) from {relation} where "{key}" is null or customer_id is null),
            (select count(*) from (
                select "{key}" from {relation} where "{key}" is not null
                group by "{key}" having count(*) > 1
            ))
        """
    ).fetchone()
    without_key, repeated = counts or (0, 0)
    if without_key or repeated:
        raise Refused(
            "bad_keys",
            f"{relation}: {without_key} rows have no {key} and {repeated} values of {key} occur "
            "more than once. Nothing is sent until the model gives one row per key.",
        )


def _read_rows(
    connection: duckdb.DuckDBPyConnection, sync: SyncSettings, columns: list[str]
) -> Iterator[SourceRow]:
    selected = ", ".join(f'payload."{column}"' for column in columns)
    if sync.meta.consent.exempt is None:
        # The model's own word is not enough: the permission must also stand in the profile.
        query = f"""
            with permitted as (
                select customer_id, contact_point_type, contact_point
                from profile.contact_permissions
                where channel = ? and purpose = ?
                group by customer_id, contact_point_type, contact_point
                having bool_and(coalesce(is_permitted, false))
            )
            select permitted.customer_id is not null, {selected}
            from {sync.relation} as payload
            left join permitted
                on payload.customer_id = permitted.customer_id
                and payload.contact_point_type = permitted.contact_point_type
                and payload.contact_point = permitted.contact_point
            order by payload."{sync.meta.key}"
        """
        parameters = [sync.meta.consent.channel, sync.meta.consent.purpose]
    else:
        query = f"""
            select true, {selected} from {sync.relation} as payload
            order by payload."{sync.meta.key}"
        """
        parameters = []
    cursor = connection.execute(query, parameters)
    names = list(sync.meta.fields)
    while chunk := cursor.fetchmany(10_000):
        for has_permission, key, customer_id, permitted, reason, point_type, point, *rest in chunk:
            is_permitted = bool(permitted) and bool(has_permission)
            payload = {name: as_text(value) for name, value in zip(names, rest, strict=True)}
            if permitted is None:
                reason = "permission_unknown"
            elif permitted and not has_permission:
                reason = "permission_not_found"
            yield SourceRow(
                Row(str(key), str(customer_id), point_type, point, payload),
                is_permitted,
                None if is_permitted else reason or "not_permitted",
            )


def as_text(value: Any) -> str | None:
    """One spelling per value, so that equal data has equal fingerprints on every run."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)
