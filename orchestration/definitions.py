"""What Dagster loads: everything that `defs/` declares, for the home of the environment."""

from dagster import Definitions

from orchestration.defs.assemble import assemble

defs: Definitions = assemble()
