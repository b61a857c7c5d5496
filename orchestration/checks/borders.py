"""The checks at both borders by name, before and after they run.

Dagster must know a check's name before the data exists, so the names are worked out from the
same declarations that the checks are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pandas as pd

from orchestration.checks.expectations import (
    CheckResult,
    check_payload,
    landed_expectations,
    rule_checks,
)
from orchestration.checks.written import LANDED_FILES, PAYLOAD
from orchestration.home import Home
from orchestration.landing.declarations import Table
from orchestration.syncs.settings import SyncSettings


@dataclass(frozen=True)
class NamedCheck:
    """A check that may run, and what it holds people to."""

    name: str
    description: str


def landed_checks(table: Table) -> list[NamedCheck]:
    """Every check that a landed batch of the table can meet."""
    named = [NamedCheck(each.name, each.description) for each in landed_expectations(table)]
    for check in (*LANDED_FILES, *rule_checks(table, 0.01)):
        named.append(NamedCheck(check.name, check.description.format(limit=check.limit)))
    return named


def payload_checks() -> list[NamedCheck]:
    """Every check that an outgoing payload can meet."""
    return [
        NamedCheck("payload_has_its_columns", "the key, a reason and a contact point are columns"),
        NamedCheck("key_is_given", "the key is never empty"),
        NamedCheck("key_is_unique", "one row per key"),
        NamedCheck("email_is_an_address", "every e-mail given has the shape of an address"),
        *(NamedCheck(check.name, check.description) for check in PAYLOAD),
    ]


def check_sync_payload(home: Home, sync: SyncSettings) -> list[CheckResult]:
    """Check what a sync would read from the published file, before anything leaves."""
    contact = next(
        (field for field, column in sync.meta.fields.items() if column == "contact_point"), "email"
    )
    found = check_payload(
        sync.name,
        _payload(home, sync).rename(columns={"contact_point": contact}),
        key=sync.meta.key,
        contact_columns=[contact],
    )
    met = {check.name for check in found}
    # An empty payload breaks no rule; Dagster wants an answer of each check all the same.
    return found + [
        CheckResult(check.name, sync.name, True, "error", "no rows", check.description)
        for check in payload_checks()
        if check.name not in met
    ]


def _payload(home: Home, sync: SyncSettings) -> pd.DataFrame:
    with duckdb.connect(str(home.private_file), read_only=True) as connection:
        return connection.execute(f'select * from activation."{sync.name}"').df()


def failed(checks: Iterable[CheckResult]) -> list[str]:
    return [check.name for check in checks if not check.passed and check.severity == "error"]
