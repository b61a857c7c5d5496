"""Raw tables: one asset each, loaded together from the landing folder and checked."""

from collections.abc import Iterator, Mapping

import dagster as dg

from orchestration.build_state import forget_build
from orchestration.checks.borders import landed_checks
from orchestration.checks.expectations import check_landed_table
from orchestration.checks.report import write_landing_report
from orchestration.home import Home, as_of_date
from orchestration.landing.declarations import Source, Table
from orchestration.landing.load import land
from orchestration.landing.report import TableResult
from orchestration.lock import hold_lock
from orchestration.warehouse.connect import open_warehouse, target

LOCK_WAIT_SECONDS = 600.0
BOOKS = (dg.AssetKey(["landing", "current_loads"]), dg.AssetKey(["landing", "loads"]))
INSTALLATION = dg.AssetKey(["cdp", "installation"])
SUPPRESSIONS = dg.AssetKey(["privacy", "suppressions"])


def raw_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey([table.source, table.name])


def files_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey(["files", table.source, table.name])


def build_file_specs(sources: Mapping[str, Source]) -> list[dg.AssetSpec]:
    """The folders of landed files: where the lineage begins; nothing here makes them."""
    return [
        dg.AssetSpec(
            files_key(table),
            group_name="ingestion",
            kinds={"file"},
            description=f"Files landed for {source.name}.{table.name}.",
        )
        for source in sources.values()
        for table in source.tables.values()
    ]


def build_raw_assets(home: Home, sources: Mapping[str, Source]) -> dg.AssetsDefinition:
    """One asset for each declared raw table, with its checks; one step loads them all."""
    tables = {
        raw_key(table): table for source in sources.values() for table in source.tables.values()
    }
    specs = [
        dg.AssetSpec(
            key,
            deps=[files_key(table)],
            group_name="ingestion",
            kinds={target()},
            description=table.description,
        )
        for key, table in tables.items()
    ]
    books = [
        dg.AssetSpec(
            key, group_name="ingestion", kinds={target()}, description="The loader's own books."
        )
        for key in (*BOOKS, INSTALLATION, SUPPRESSIONS)
    ]
    checks = [
        dg.AssetCheckSpec(check.name, asset=key, description=check.description)
        for key, table in tables.items()
        for check in landed_checks(table)
    ]

    # Subsettable only so that checks of tables to which nothing landed keep their last result.
    @dg.multi_asset(name="land_files", specs=[*specs, *books], check_specs=checks, can_subset=True)
    def land_files(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        chosen = context.selected_asset_keys
        wanted = sorted({table.source for key, table in tables.items() if key in chosen})
        with (
            hold_lock(home, "land", LOCK_WAIT_SECONDS),
            open_warehouse(home) as warehouse,
        ):
            landed = land(home, warehouse, sources, as_of_date(), context.log.info, wanted)
            if landed.changed:
                forget_build(home)
        results = {
            key: check_landed_table(table, landed.of(table.source, table.name), as_of_date())
            for key, table in tables.items()
            if landed.of(table.source, table.name).files
        }
        if results:
            write_landing_report(
                home,
                as_of_date(),
                [each for some in results.values() for each in some],
                landed.as_dict(),
            )
        for key in sorted(chosen & {*tables, *BOOKS, INSTALLATION, SUPPRESSIONS}):
            table = tables.get(key)
            counts = _metadata(landed.of(table.source, table.name)) if table else {}
            yield dg.MaterializeResult(asset_key=key, metadata=counts)
            for result in results.get(key, []):
                if dg.AssetCheckKey(key, result.name) not in context.selected_asset_check_keys:
                    continue
                yield dg.AssetCheckResult(
                    asset_key=key,
                    check_name=result.name,
                    passed=result.passed,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"observed": result.observed},
                )

    return land_files


def _metadata(result: TableResult) -> Mapping[str, dg.MetadataValue]:
    counts = {
        "files": len(result.files),
        "landed_rows": result.landed,
        "loaded_rows": result.loaded,
        "rejected_rows": result.rejected,
        "duplicate_rows": result.duplicate,
        "suppressed_rows": result.suppressed,
        "refused_files": len(result.refused),
    }
    return {name: dg.MetadataValue.int(value) for name, value in counts.items()}
