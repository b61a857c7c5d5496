"""Puts the declarations of the layers together for one home."""

import dagster as dg

from orchestration.defs import activation, automation, ingestion, matching, warehouse
from orchestration.defs.execute import progress_logger
from orchestration.home import PROJECT, Home, as_of_date
from orchestration.landing.declarations import load_declarations
from orchestration.project import ensure_manifest, set_environment


def assemble(home: Home | None = None) -> dg.Definitions:
    """Every asset, check, job, schedule and sensor; parses the dbt project where it must."""
    home = home or Home.from_environment()
    set_environment(home)
    ensure_manifest(home, as_of_date())
    sources = load_declarations(PROJECT, home.root)
    syncs = activation.read_syncs(home)
    job = automation.build_job()
    return dg.Definitions(
        assets=[
            *ingestion.build_file_specs(sources),
            ingestion.build_raw_assets(home, sources),
            matching.build_matching_asset(home),
            *warehouse.build_dbt_assets(home),
            warehouse.build_publish_asset(home),
            *(activation.build_sync_asset(home, sync) for sync in syncs),
            activation.build_ops_asset(home, syncs),
        ],
        jobs=[job],
        schedules=[automation.build_schedule(job)],
        sensors=[automation.build_sensor(home, job)],
        loggers={"progress": progress_logger, "console": dg.colored_console_logger},
        resources={"dbt": warehouse.dbt_resource(home)},
    )
