"""Probable matches between two parts of the build: who may be one person, for identity to judge."""

import dagster as dg

from orchestration.home import Home
from orchestration.lock import hold_lock
from orchestration.warehouse.connect import open_warehouse

LOCK_WAIT_SECONDS = 600.0
PEOPLE = dg.AssetKey(["identity", "int_identity__people"])
PAIRS = dg.AssetKey(["matching", "pairs"])


def build_matching_asset(home: Home) -> dg.AssetsDefinition:
    @dg.asset(
        key=PAIRS,
        deps=[PEOPLE],
        group_name="matching",
        kinds={"splink"},
        description="Pairs of people who are probably one, by name, birth date and address.",
    )
    def match_people(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        # Splink takes seconds to import: only a run that matches pays for it.
        from orchestration.matching.build import match_people as match

        with hold_lock(home, "match", LOCK_WAIT_SECONDS), open_warehouse(home) as warehouse:
            result = match(home, warehouse, context.log.info)
        return dg.MaterializeResult(
            metadata={
                "people": result.people,
                "comparisons": result.comparisons,
                "pairs": result.pairs,
                "seconds": round(result.seconds, 1),
            }
        )

    return match_people
