"""A Spark standalone cluster on loopback, from the pyspark package: master, workers, Thrift server.

It is what `make spark` and the tests run on: real processes that exchange shuffles over the
network stack and that can be killed one by one. A company's own cluster is reached by the
same environment variables and needs nothing of this module.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orchestration.errors import CdpError

LOOPBACK = "127.0.0.1"
JAVA_OLDEST, JAVA_NEWEST = 17, 21
START_SECONDS = 180
STOP_SECONDS = 20
# Masters and workers only keep lists; the Thrift server reads the same variables, so they
# are set for those two alone.
DAEMON = {
    "SPARK_DAEMON_MEMORY": "256m",
    "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
}
# A build of small tables ends before the optimising compiler pays for itself (a third less
# processor time measured); one collector thread leaves the cores to the work.
JAVA_OPTIONS = "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# Sent to a child when its parent ends, however that ended (prctl(2)).
_PR_SET_PDEATHSIG = 1

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ClusterSettings:
    """Sizes and ports; every one has a variable in the environment."""

    port: int = 10_000
    master_port: int = 7077
    ui_port: int = 18_080
    workers: int = 2
    worker_cores: int = 1
    worker_memory: str = "1500m"
    driver_memory: str = "1500m"
    shuffle_partitions: int = 4

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ClusterSettings":
        """The settings that `CDP_SPARK_…` names; what it does not name keeps its default."""

        def number(name: str, default: int) -> int:
            text = environment.get(name) or str(default)
            if not text.isdecimal():
                raise CdpError(f"{name} is {text!r}; give a whole number, for example {default}.")
            return int(text)

        def memory(name: str, default: str) -> str:
            text = environment.get(name) or default
            if not re.fullmatch(r"[1-9]\d*[mg]", text):
                raise CdpError(f"{name} is {text!r}; give a size as {default} or 2g.")
            return text

        return cls(
            port=number("CDP_SPARK_PORT", cls.port),
            master_port=number("CDP_SPARK_MASTER_PORT", cls.master_port),
            ui_port=number("CDP_SPARK_UI_PORT", cls.ui_port),
            workers=number("CDP_SPARK_WORKERS", cls.workers),
            worker_cores=number("CDP_SPARK_WORKER_CORES", cls.worker_cores),
            worker_memory=memory("CDP_SPARK_WORKER_MEMORY", cls.worker_memory),
            driver_memory=memory("CDP_SPARK_DRIVER_MEMORY", cls.driver_memory),
            shuffle_partitions=number("CDP_SPARK_SHUFFLE_PARTITIONS", cls.shuffle_partitions),
        )

    @classmethod
    def on_free_ports(cls, **given: Any) -> "ClusterSettings":
        """Settings for a test: ports that nobody has now."""
        ports = free_ports(3)
        return cls(**{"port": ports[0], "master_port": ports[1], "ui_port": ports[2], **given})


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def java_command(environment: Mapping[str, str] = os.environ) -> str:
    """The Java that Spark will use; a `CdpError` says what to install where there is none."""
    remedy = (
        f"Spark needs Java {JAVA_OLDEST} or {JAVA_NEWEST}: on Debian and Ubuntu "
        f"`apt-get install openjdk-{JAVA_OLDEST}-jre-headless`, or set JAVA_HOME."
    )
    home = environment.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not java or not Path(java).exists():
        raise CdpError(f"No Java was found{' in JAVA_HOME' if home else ''}. {remedy}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    if not found:
        raise CdpError(f"`{java} -version` says no version. {remedy}")
    if not JAVA_OLDEST <= int(found.group(1)) <= JAVA_NEWEST:
        raise CdpError(f"{java} is Java {found.group(1)}. {remedy}")
    return java


def spark_home() -> Path:
    """Where the pyspark package keeps Spark itself."""
    from importlib.util import find_spec

    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise CdpError("pyspark is not installed: `pip install '.[spark]'`, or `make spark`.")
    return Path(found.origin).parent


@dataclass
class LocalCluster:
    """The processes of one cluster; a context manager that stops what it started.

    `folder` holds logs, scratch space and the metastore, `storage` the tables; both outlive
    the cluster, so that another one started on them has the same tables.
    """

    folder: Path
    storage: Path
    settings: ClusterSettings = field(default_factory=ClusterSettings)
    progress: Progress = lambda line: None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _environment: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def storage_uri(self) -> str:
        uri = self.storage.resolve().as_uri()
        if "%" in uri:
            raise CdpError(
                f"{self.storage} has a blank or a letter outside ASCII in its path, which Spark "
                "and others read in two ways. Give CDP_HOME another folder."
            )
        return uri

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to work on this cluster."""
        return {
            "CDP_TARGET": "spark",
            "CDP_SPARK_HOST": LOOPBACK,
            "CDP_SPARK_PORT": str(self.settings.port),
            "CDP_SPARK_STORAGE": self.storage_uri,
        }

    def start(self) -> Self:
        """Start all and wait until the Thrift server answers a query."""
        java = java_command()
        home = spark_home()
        self._refuse_taken_ports()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.storage.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "conf"
        configuration.mkdir(exist_ok=True)
        # Neither another Spark's settings nor a secret of ours.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SPARK_", "CDP_"))
        }
        self._environment = {
            **kept,
            "JAVA_HOME": str(Path(java).resolve().parent.parent),
            "SPARK_HOME": str(home),
            "SPARK_CONF_DIR": str(configuration),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_LOCAL_DIRS": str(self.folder / "local"),
            "PYSPARK_PYTHON": sys.executable,
        }
        try:
            self._start_master(home)
            for number in range(1, self.settings.workers + 1):
                self.start_worker(number)
            self._wait("workers", self._workers_are_up)
            self._start_thrift_server(home)
            self._wait("Thrift server", self._thrift_answers)
        except BaseException:
            self.stop()
            raise
        self.progress(
            f"Spark answers on {LOOPBACK}:{self.settings.port} with {self.settings.workers} workers"
        )
        return self

    def _refuse_taken_ports(self) -> None:
        for name, port in (
            ("CDP_SPARK_PORT", self.settings.port),
            ("CDP_SPARK_MASTER_PORT", self.settings.master_port),
            ("CDP_SPARK_UI_PORT", self.settings.ui_port),
        ):
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, port)) == 0:
                    raise CdpError(
                        f"Port {port} is taken. Stop what listens there, or give another by {name}."
                    )

    def _spawn(self, name: str, command: list[str], **environment: str) -> None:
        self.progress(f"starting {name} …")
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env={**self._environment, **environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )

    def _start_master(self, home: Path) -> None:
        self._spawn(
            "master",
            [
                str(home / "bin" / "spark-class"),
                "org.apache.spark.deploy.master.Master",
                *("--host", LOOPBACK),
                *("--port", str(self.settings.master_port)),
                *("--webui-port", str(self.settings.ui_port)),
            ],
            **DAEMON,
        )

    def start_worker(self, number: int) -> None:
        """Start worker `number`; also one that was killed."""
        self._spawn(
            f"worker-{number}",
            [
                str(spark_home() / "bin" / "spark-class"),
                "org.apache.spark.deploy.worker.Worker",
                *("--host", LOOPBACK),
                *("--webui-port", "0"),
                *("-c", str(self.settings.worker_cores)),
                *("-m", self.settings.worker_memory),
                *("-d", str(self.folder / "work" / str(number))),
                f"spark://{LOOPBACK}:{self.settings.master_port}",
            ],
            **DAEMON,
        )

    def _start_thrift_server(self, home: Path) -> None:
        executor_memory = _reduced(self.settings.worker_memory)
        options = {
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.driver.memory": self.settings.driver_memory,
            "spark.executor.memory": executor_memory,
            "spark.executor.cores": self.settings.worker_cores,
            "spark.cores.max": self.settings.worker_cores * self.settings.workers,
            "spark.default.parallelism": self.settings.worker_cores * self.settings.workers,
            "spark.sql.shuffle.partitions": self.settings.shuffle_partitions,
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.warehouse.dir": self.storage_uri,
            "spark.ui.enabled": "false",
            # Local files, one metastore: nobody else reads while it is written.
            "spark.hadoop.javax.jdo.option.ConnectionURL": (
                f"jdbc:derby:;databaseName={self.folder / 'metastore'};create=true"
            ),
            "spark.driver.extraJavaOptions": (f"-Dderby.system.home={self.folder} {JAVA_OPTIONS}"),
            "spark.executor.extraJavaOptions": JAVA_OPTIONS,
            # On a few thousand rows the planner costs more than the work: no second planning
            # while a query runs, no rules that only pay on large tables.
            "spark.sql.adaptive.enabled": "false",
            "spark.sql.constraintPropagation.enabled": "false",
        }
        self._spawn(
            "thrift-server",
            [
                str(home / "bin" / "spark-submit"),
                *("--master", f"spark://{LOOPBACK}:{self.settings.master_port}"),
                *("--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"),
                *(part for key, value in options.items() for part in ("--conf", f"{key}={value}")),
                "spark-internal",
                *("--hiveconf", f"hive.server2.thrift.bind.host={LOOPBACK}"),
                *("--hiveconf", f"hive.server2.thrift.port={self.settings.port}"),
            ],
        )

    def _wait(self, what: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise CdpError(
                        f"Spark's {name} ended with code {process.returncode} while starting; "
                        f"its log ends with:\n{self._log_tail(name)}"
                    )
            if time.monotonic() > deadline:
                raise CdpError(
                    f"Spark's {what} did not answer within {START_SECONDS} s; logs are in "
                    f"{self.folder / 'logs'}."
                )
            time.sleep(0.2)

    def _log_tail(self, name: str) -> str:
        lines = (self.folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-12:])

    def alive_workers(self) -> int:
        """How many workers the master counts as alive."""
        url = f"http://{LOOPBACK}:{self.settings.ui_port}/json/"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(json.loads(answer.read())["aliveworkers"])
        except (OSError, ValueError, KeyError):
            return 0

    def _workers_are_up(self) -> bool:
        return self.alive_workers() == self.settings.workers

    def _thrift_answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, self.settings.port)) != 0:
                return False
        from orchestration.warehouse.spark import SparkWarehouse

        with SparkWarehouse(LOOPBACK, self.settings.port, self.storage_uri) as warehouse:
            return warehouse.rows("select 1") == [(1,)]

    @property
    def is_running(self) -> bool:
        """Whether every process that was started still runs."""
        return all(process.poll() is None for process in self.processes.values())

    def kill_worker(self, number: int) -> int:
        """`kill -9` of one worker, and with it its executor; the pid that was killed."""
        process = self.processes.pop(f"worker-{number}")
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_SECONDS)
        return process.pid

    def stop(self) -> None:
        """End every process that this object started, the newest first."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for name, process in reversed(self.processes.items()):
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.progress(f"{name} does not end; killing process {process.pid}")
                process.kill()
                process.wait(STOP_SECONDS)
        self.processes.clear()


def _end_with_parent() -> None:
    """In the child: be told to end when the parent does, `kill -9` of it included."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _reduced(memory: str) -> str:
    """What of a worker's memory its executor's heap may have: the JVM needs the rest."""
    megabytes = int(memory[:-1]) * (1024 if memory.endswith("g") else 1)
    return f"{max(512, megabytes - 512)}m"
