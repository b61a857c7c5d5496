"""One lock for the warehouse: a second command waits, or says who holds it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import PROJECT, cdp, environment_of

from orchestration.errors import LockHeld
from orchestration.home import Home
from orchestration.lock import hold_lock, holder

HOLDER = """
import pathlib, sys, time
from orchestration.home import Home
from orchestration.lock import hold_lock

with hold_lock(Home(pathlib.Path(sys.argv[1])), "run"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def another_holder(home: Home, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock for a while as `cdp run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home.root), str(seconds)],
        cwd=PROJECT,
        env=environment_of(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()


def test_a_second_command_says_who_holds_the_lock_and_exits_with_its_own_code(
    empty_home: Home,
) -> None:
    with another_holder(empty_home, 60) as process:
        ended = cdp(empty_home, "land", timeout=30)
    assert ended.returncode == 75
    assert "held by `cdp run`" in ended.stderr and f"process {process.pid}" in ended.stderr
    assert "--wait SECONDS" in ended.stderr and "Traceback" not in ended.stderr


def test_a_command_that_waits_gets_the_lock_when_it_is_free(empty_home: Home) -> None:
    told: list[str] = []
    with another_holder(empty_home, 1.5) as process:
        with hold_lock(empty_home, "land", 20, told.append):
            assert f"{os.getpid()}" in holder(empty_home)
        assert told == [line for line in told if f"process {process.pid}" in line]
    assert len(told) == 1, "it tells once whom it waits for"


def test_a_wait_that_ends_without_the_lock_raises(empty_home: Home) -> None:
    with another_holder(empty_home, 60):
        started = time.monotonic()
        with pytest.raises(LockHeld, match="held by `cdp run`"), hold_lock(empty_home, "land", 0.5):
            pytest.fail("two held one lock")
        assert 0.4 < time.monotonic() - started < 5


def test_the_lock_of_a_killed_process_is_free(empty_home: Home) -> None:
    with another_holder(empty_home, 60) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        with hold_lock(empty_home, "land"):
            assert "`cdp land`" in holder(empty_home)


def test_a_process_that_holds_the_lock_may_ask_again(empty_home: Home) -> None:
    with hold_lock(empty_home, "run"):
        with hold_lock(empty_home, "build"):
            assert json.loads(empty_home.lock.read_text())["command"] == "run"
        with another_asks(empty_home) as told:
            assert told == "held"
    with another_asks(empty_home) as told:
        assert told == "free"
    assert holder(empty_home) == "another command", "a free lock names nobody"


@contextmanager
def another_asks(home: Home) -> Iterator[str]:
    """Whether a process of its own finds the lock free."""
    ask = (
        "import fcntl, sys\n"
        "try:\n"
        "    fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
        "except BlockingIOError:\n"
        "    print('held')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", ask, str(home.lock)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    yield told.stdout.strip()


def test_an_error_inside_the_block_frees_the_lock(empty_home: Home) -> None:
    with pytest.raises(ZeroDivisionError), hold_lock(empty_home, "run"):
        1 / 0  # noqa: B018
    with hold_lock(empty_home, "land"):
        pass


def test_two_homes_have_two_locks(empty_home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other").ensure()
    with another_holder(empty_home, 60), hold_lock(other, "run"):
        pass
