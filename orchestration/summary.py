"""The numbers a person asks for after a run, read from what was published."""

from datetime import date
from typing import Any

import duckdb

from orchestration.checks.truth import measure_identity
from orchestration.home import Home
from orchestration.lookup import read_profile
from orchestration.syncs.settings import load_syncs
from orchestration.syncs.status import sync_statuses

# Linear: every touch of an order alike.
_CAMPAIGNS = """
select
    channel_group, campaign, cast(spend_amount as double), cast(attributed_amount as double),
    order_count, return_on_ad_spend
from metrics.campaign_performance
where attribution_model = 'linear'
order by attributed_amount desc, channel_group, campaign
limit 8
"""
# The customer who was met in most channels, and their latest moment in each.
_MET_MOST = """
select customer_id, min(identifier_value), any_value(channels), any_value(interactions)
from (
    select customer_id, count(distinct channel) as channels, count(*) as interactions
    from profile.interactions
    where customer_id is not null
    group by 1
)
inner join profile.customer_identifiers using (customer_id)
where identifier_type in ('shopify_customer_id', 'erp_customer_no', 'loyalty_no')
group by 1
order by 3 desc, 4 desc, 2
limit 1
"""
_LATEST_OF_EACH_CHANNEL = """
select occurred_at, channel, activity, source, count
from (
    select
        *,
        count(*) over (partition by channel) as count,
        row_number() over (
            partition by channel order by occurred_at desc, interaction_id
        ) as place
    from profile.interactions
    where customer_id = ?
)
where place = 1
order by occurred_at
"""


def _example(connection: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    """One customer's timeline over the channels; None where nobody has an account or a card."""
    found = connection.execute(_MET_MOST).fetchone()
    if found is None:
        return None
    customer_id, identifier, channels, interactions = found
    names = ("occurred_at", "channel", "activity", "source", "count")
    return {
        "customer_id": customer_id,
        "identifier": identifier,
        "channels": channels,
        "interactions": interactions,
        "timeline": [
            {**dict(zip(names, row, strict=True)), "occurred_at": str(row[0])}
            for row in connection.execute(_LATEST_OF_EACH_CHANNEL, [customer_id]).fetchall()
        ],
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: times as text, to the second."""
    return str(value)[:19] if isinstance(value, date) else value


def summarise(home: Home) -> dict[str, Any]:
    """Rows per source, people, channels, segments, audiences and sends; plain for `--json`."""
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
            "interactions": dict(
                rows(
                    "select channel, count(*) from profile.interactions "
                    "group by 1 order by 2 desc, 1"
                )
            ),
            "campaigns": [
                dict(
                    zip(
                        ("channel_group", "campaign", "spend", "revenue", "orders", "return"),
                        row,
                        strict=True,
                    )
                )
                for row in rows(_CAMPAIGNS)
            ],
            "example": _example(connection),
        }
        if summary["example"]:
            card = read_profile(home, summary["example"]["customer_id"])
            for part in ("attributes", "contact_points", "permissions"):
                summary["example"][part] = [
                    {name: _plain(value) for name, value in row.items()} for row in card[part]
                ]
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
            "cluster_precision": quality.cluster_precision,
            "cluster_recall": quality.cluster_recall,
            "unguarded_precision": quality.unguarded_precision,
        }
    return summary
