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
        # Whatever engine the shell is set to: the scratch home is a DuckDB file.
        os.environ["CDP_TARGET"] = "duckdb"
        os.environ["DBT_TARGET_PATH"] = str(home.dbt_target)
        # Python's own remark on how sqlfluff ends its two processes; it says nothing of the SQL.
        os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
        return _lint(sys.argv[1:])


def _lint(arguments: list[str]) -> int:
    """sqlfluff's exit code, or 1 where it left a file out.

    A file that it cannot map back from what dbt made of it, it skips with a warning and an
    exit code of 0, so a warning is a failure here.
    """
    sqlfluff = str(Path(sys.executable).with_name("sqlfluff"))
    skipped = False
    with subprocess.Popen(
        [sqlfluff, "lint", "models", "tests/data_tests", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            skipped = skipped or line.startswith("WARNING")
    if skipped and process.returncode == 0:
        sys.stdout.write("sqlfluff skipped a file or warned of its settings; see above.\n")
        return 1
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
