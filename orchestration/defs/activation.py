"""One asset for each sync, built from the manifest; then the ledger for everyone to read."""

from collections.abc import Iterator

import dagster as dg

from orchestration.checks.borders import payload_checks
from orchestration.defs.warehouse import PUBLISHED
from orchestration.home import Home
from orchestration.syncs.export import export_ledger
from orchestration.syncs.send import send
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
            dg.AssetCheckSpec(
                "nothing_waits_for_a_person",
                asset=key,
                description="the sync has its connection, and its first run was confirmed",
            ),
        ],
        pool=sync.meta.destination,
    )
    def send_audience(
        context: dg.AssetExecutionContext, config: SendConfig
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        sent = send(home, sync, config.confirm_first_run, config.confirm_removals, context.log.info)
        for check in sent.checks:
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=check.name,
                passed=check.passed,
                metadata={"observed": check.observed},
            )
        counts = dict(sent.result.counts) if sent.result else {}
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="every_planned_change_has_an_end",
            passed=sent.result is not None and sent.result.planned <= sent.result.ended,
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="no_message_is_of_unknown_fate",
            passed=counts.get("unknown", 0) == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"unknown": counts.get("unknown", 0)},
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="nothing_waits_for_a_person",
            passed=not sent.is_waiting,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"reason": (sent.result.reason if sent.result else None) or "none"},
        )
        if sent.fault:
            raise dg.Failure(f"{sync.name}: {sent.fault}")
        yield dg.MaterializeResult(asset_key=key, metadata=counts)

    return send_audience


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
