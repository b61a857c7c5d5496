"""One asset for each sync, built from the manifest; then the ledger for everyone to read."""

from collections.abc import Iterator

import dagster as dg

from orchestration.checks.borders import check_sync_payload, failed, payload_checks
from orchestration.checks.report import write_payload_report
from orchestration.defs.warehouse import PUBLISHED
from orchestration.home import Home, as_of_date
from orchestration.syncs.connections import load_connections
from orchestration.syncs.engine import SyncResult, run_sync
from orchestration.syncs.export import export_ledger
from orchestration.syncs.settings import SyncSettings, load_syncs

OPS = dg.AssetKey(["published", "ops"])


class SendConfig(dg.Config):
    """Answers a person gives to the guards of a sync; see `cdp sync run --help`."""

    confirm_first_run: bool = False
    confirm_removals: bool = False


def sync_key(sync: SyncSettings) -> dg.AssetKey:
    return dg.AssetKey([sync.meta.destination, sync.name.partition("__")[2]])


def build_sync_asset(home: Home, sync: SyncSettings) -> dg.AssetsDefinition:
    """Check the payload, plan, send and count one sync; reads the published file alone."""
    key = sync_key(sync)

    @dg.multi_asset(
        name=sync.name,
        specs=[
            dg.AssetSpec(
                key,
                deps=[PUBLISHED, dg.AssetKey(["activation", sync.name])],
                group_name="activation",
                description=sync.description,
                kinds={sync.meta.mode},
            )
        ],
        check_specs=[
            *(
                dg.AssetCheckSpec(check.name, asset=key, description=check.description)
                for check in payload_checks()
            ),
            dg.AssetCheckSpec(
                "every_planned_change_has_an_end",
                asset=key,
                description="planned = acked + rejected + withheld + invalid + deferred + "
                "unknown + superseded + dead",
            ),
            dg.AssetCheckSpec(
                "no_message_is_of_unknown_fate",
                asset=key,
                description="nobody waits for a person to say whether a message arrived",
            ),
        ],
        pool=sync.meta.destination,
    )
    def send_audience(
        context: dg.AssetExecutionContext, config: SendConfig
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        checks = check_sync_payload(home, sync)
        write_payload_report(home, as_of_date(), checks)
        for check in checks:
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=check.name,
                passed=check.passed,
                metadata={"observed": check.observed},
            )
        if failed(checks):
            raise dg.Failure(f"{sync.name}: payload checks failed: {', '.join(failed(checks))}.")
        result = run_sync(
            home,
            sync,
            load_connections(home).get(sync.meta.destination),
            confirm_first_run=config.confirm_first_run,
            confirm_removals=config.confirm_removals,
        )
        context.log.info(told(result))
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="every_planned_change_has_an_end",
            passed=result.planned <= result.ended or result.status == "blocked",
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="no_message_is_of_unknown_fate",
            passed=result.counts.get("unknown", 0) == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"unknown": result.counts.get("unknown", 0)},
        )
        if result.is_failure:
            raise dg.Failure(f"{sync.name}: {result.status}: {result.reason}")
        yield dg.MaterializeResult(
            asset_key=key, metadata={"status": result.status, **dict(result.counts)}
        )

    return send_audience


def told(result: SyncResult) -> str:
    """A run's end in one line of numbers."""
    counts = ", ".join(f"{name} {number:,}" for name, number in result.counts.items() if number)
    return f"{result.sync}: {result.status}; {counts or 'nothing to send'}"


def build_ops_asset(home: Home, syncs: list[SyncSettings]) -> dg.AssetsDefinition:
    @dg.asset(
        key=OPS,
        deps=[sync_key(sync) for sync in syncs],
        group_name="publish",
        kinds={"duckdb"},
        description="The ledger of what was sent, to whom and why, as tables (no addresses).",
    )
    def export_ops(context: dg.AssetExecutionContext) -> None:
        context.log.info(f"{export_ledger(home).name} swapped in")

    return export_ops


def read_syncs(home: Home) -> list[SyncSettings]:
    return load_syncs(home.manifest)
