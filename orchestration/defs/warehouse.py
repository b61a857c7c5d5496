"""The dbt project as assets: one dbt start builds and tests every model; then publishing."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from orchestration.build_state import begin_build, end_build, record_build
from orchestration.home import PROJECT, Home, as_of_date
from orchestration.lock import hold_lock
from orchestration.project import code_hash, dbt_variables
from orchestration.publish.publish import built_schemas, publish, published_tables
from orchestration.warehouse.connect import open_warehouse

LOCK_WAIT_SECONDS = 600.0
PROGRESS_EVERY = 50
# What matching found, and all that depends on it.
AFTER_MATCHING = "stg_matching__pairs+"
PUBLISHED = dg.AssetKey(["published", "private"])


class LayerTranslator(DagsterDbtTranslator):
    """The layer is the folder, the schema and the group, and the first half of the key."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey([dbt_resource_props["source_name"], dbt_resource_props["name"]])
        return dg.AssetKey([dbt_resource_props["config"]["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return str(dbt_resource_props["config"].get("schema") or "seeds")


def dbt_project(home: Home) -> DbtProject:
    return DbtProject(
        project_dir=PROJECT,
        profiles_dir=PROJECT,
        target_path=home.dbt_target,
        packaged_project_dir=None,
    )


def dbt_resource(home: Home) -> DbtCliResource:
    # The dbt beside this Python, whatever PATH says.
    executable = str(Path(sys.executable).with_name("dbt"))
    return DbtCliResource(
        project_dir=dbt_project(home), profiles_dir=str(PROJECT), dbt_executable=executable
    )


def build_dbt_assets(home: Home) -> list[dg.AssetsDefinition]:
    """Every model, seed and data test, in the two parts between which people are matched.

    Unit tests are for `make test`: they read no data.
    """
    return [
        _dbt_assets(home, "dbt_build_before_matching", exclude=AFTER_MATCHING, is_whole=False),
        _dbt_assets(home, "dbt_build", select=AFTER_MATCHING),
    ]


def _dbt_assets(
    home: Home,
    name: str,
    *,
    select: str = "fqn:*",
    exclude: str | None = None,
    is_whole: bool = True,
) -> dg.AssetsDefinition:
    @dbt_assets(
        manifest=home.manifest,
        dagster_dbt_translator=LayerTranslator(),
        name=name,
        project=dbt_project(home),
        select=select,
        exclude=exclude,
    )
    def build(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
        arguments = [
            "build",
            "--exclude-resource-type",
            "unit_test",
            "--vars",
            json.dumps(dbt_variables(home, as_of_date())),
        ]
        with hold_lock(home, "build", LOCK_WAIT_SECONDS):
            begin_build(home)
            with open_warehouse(home) as warehouse:
                warehouse.recover()
                warehouse.clear_leftovers(built_schemas(home.manifest))
            # The home's own target folder, so that the parse of the assets is used again.
            ran = dbt.cli(arguments, context=context, target_path=home.dbt_target)
            for number, event in enumerate(ran.stream(), start=1):
                if number % PROGRESS_EVERY == 0:
                    context.log.info(f"{number} models, seeds and tests done")
                yield event
            # The first part alone is not a build that anybody may publish.
            if is_whole:
                end_build(home)

    return build


def build_publish_asset(home: Home) -> dg.AssetsDefinition:
    """The published files, swapped in once every model is built and every check passed."""
    models = [dg.AssetKey([table.layer, table.name]) for table in published_tables(home.manifest)]

    @dg.multi_asset(
        name="publish_files",
        specs=[
            dg.AssetSpec(
                PUBLISHED,
                deps=models,
                group_name="publish",
                kinds={"duckdb"},
                description="Unmasked tables for syncs and lookups (mode 0600).",
            ),
            dg.AssetSpec(
                dg.AssetKey(["published", "cdp"]),
                deps=models,
                group_name="publish",
                kinds={"duckdb"},
                description="Masked tables for BI and pages.",
            ),
        ],
    )
    def publish_files(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        with hold_lock(home, "publish", LOCK_WAIT_SECONDS):
            publication = publish(home, as_of_date(), code_hash(home), context.log.info)
            record_build(home, as_of_date(), publication.code_hash, context.run_id)
        for key in (PUBLISHED, dg.AssetKey(["published", "cdp"])):
            yield dg.MaterializeResult(
                asset_key=key,
                metadata={
                    "publication_id": publication.publication_id,
                    "tables": len(publication.rows),
                    "customers": publication.rows.get("profile.customers", 0),
                },
            )

    return publish_files
