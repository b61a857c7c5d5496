"""The tools that judge the code itself, and the models' unit tests."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import AS_OF

from orchestration.home import PROJECT, Home
from orchestration.project import run_dbt


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    """A tool of the same environment, run in the project."""
    executable = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run(
        [executable, *command[1:]],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("python", "-m", "orchestration.lint"),
    ],
    ids=["ruff", "format", "mypy", "sqlfluff"],
)
def test_the_code_is_clean_for(command: tuple[str, ...]) -> None:
    ended = tool(*command)

    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]


def test_every_dbt_unit_test_passes(
    sample_home: Home, copy_home: Callable[[Home], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_home(sample_home)
    monkeypatch.setenv("CDP_HOME", str(home.root))

    told = run_dbt(home, AS_OF, ["test", "--select", "test_type:unit"])

    found = re.search(r"PASS=(\d+) WARN=0 ERROR=0", told)
    assert found and int(found.group(1)) >= 100, told[-2000:]
