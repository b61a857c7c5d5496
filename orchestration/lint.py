"""sqlfluff over the models and data tests, through dbt's templater, in a scratch home.

The templater compiles each file through dbt, which needs a warehouse to ask for relations;
an empty one made for the purpose keeps the lint away from anyone's data.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from orchestration.home import PROJECT, Home
from orchestration.landing.declarations import load_declarations
from orchestration.landing.store import ensure_tables
from orchestration.project import set_environment
from orchestration.warehouse.duckdb import DuckDbWarehouse


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).ensure()
        with DuckDbWarehouse(home.warehouse) as warehouse:
            ensure_tables(warehouse, load_declarations(PROJECT))
        set_environment(home)
        os.environ["DBT_TARGET_PATH"] = str(home.dbt_target)
        sqlfluff = str(Path(sys.executable).with_name("sqlfluff"))
        return subprocess.run(
            [sqlfluff, "lint", "models", "tests/data_tests", *sys.argv[1:]],
            cwd=PROJECT,
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
