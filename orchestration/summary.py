"""The numbers a person asks for after a run, read from what was published."""

from typing import Any

import duckdb

from orchestration.checks.truth import measure_identity
from orchestration.home import Home
from orchestration.syncs.settings import load_syncs
from orchestration.syncs.status import sync_statuses


def summarise(home: Home) -> dict[str, Any]:
    """Rows per source, people, segments, audiences and sends; plain values for `--json`."""
    with duckdb.connect(str(home.private_file), read_only=True) as connection:

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        summary: dict[str, Any] = {
            "as_of_date": str(rows("select as_of_date from publication.info")[0][0]),
            "rows": [
                dict(zip(("source", "landed", "rejected", "duplicate", "loaded"), row, strict=True))
                for row in rows(
                    "select source, landed_count, rejected_count, duplicate_count, loaded_count "
                    "from reporting.landed_rows order by source"
                )
            ],
            "customers": dict(
                rows(
                    "select case when is_identified then 'identified' else 'anonymous' end, "
                    "count(*) from profile.customers group by 1 order by 1 desc"
                )
            ),
            "rfm_segments": dict(
                rows(
                    "select rfm_segment, count(*) from metrics.customer_rfm "
                    "group by 1 order by 2 desc, 1"
                )
            ),
            "journey_stages": dict(
                rows(
                    "select journey_stage, count(*) from metrics.customer_metrics "
                    "group by 1 order by 2 desc, 1"
                )
            ),
            "audiences": dict(
                rows("select audience, member_count from reporting.audience_sizes order by 1")
            ),
            "withheld": {},
            "example_identifier": next(
                iter(
                    rows(
                        "select identifier_value from profile.customer_identifiers "
                        "inner join metrics.customer_metrics using (customer_id) "
                        "where identifier_type = 'shopify_customer_id' "
                        "order by order_count desc, identifier_value limit 1"
                    )
                ),
                (None,),
            )[0],
        }
        syncs = load_syncs(home.manifest)
        for sync in syncs:
            summary["withheld"][sync.name] = dict(
                rows(
                    "select withheld_reason, count(*) "
                    f'from activation."{sync.name}" where not is_permitted '
                    "group by 1 order by 2 desc, 1"
                )
            )
    summary["syncs"] = [
        {
            "sync": status.sync,
            "status": status.status,
            "present": status.present,
            "counts": dict(status.counts),
            "unknown": len(status.unknown_customers),
        }
        for status in sync_statuses(home, syncs)
    ]
    quality = measure_identity(home)
    if quality is not None:
        summary["identity"] = {
            "people": quality.people,
            "people_found": quality.people_found,
            "precision": quality.precision,
            "recall_linkable": quality.linkable_recall,
            "recall_all": quality.recall,
        }
    return summary
