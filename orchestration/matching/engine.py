"""Where the work happens: a DuckDB in memory, or a Spark session, of this command alone."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from orchestration.errors import CdpError
from orchestration.matching.settings import MatchSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from splink import SparkAPI


@contextmanager
def small_duckdb(settings: MatchSettings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that keeps to its share and spills the rest to a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="matching-") as folder:
        connection = duckdb.connect(":memory:")
        try:
            connection.execute(f"set memory_limit = '{settings.memory_limit}'")
            connection.execute(f"set threads = {settings.threads}")
            connection.execute("set temp_directory = ?", [folder])
            connection.execute("set enable_progress_bar = false")
            yield connection
        finally:
            connection.close()


@contextmanager
def small_spark(settings: MatchSettings) -> Iterator["SparkSession"]:
    """A session on this machine's loopback, ended with the command.

    It uses nothing of the warehouse's cluster, so a company may keep its tables elsewhere.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise CdpError(
            "The matching settings say `engine: spark`, but pyspark is not installed. "
            "Install the extra `spark`, or write `engine: duckdb`."
        ) from None
    if SparkSession.getActiveSession() is not None:
        raise CdpError("A Spark session is open here already; matching wants one of its own.")
    with tempfile.TemporaryDirectory(prefix="matching-spark-") as folder:
        session = (
            SparkSession.builder.master(f"local[{settings.threads}]")
            .appName("matching")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.memory", settings.memory_limit.replace("B", "").lower())
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", str(settings.threads))
            # One machine plans once: on it the planning costs more than a better plan saves. All
            # comparisons in one stage make more code than a Java method may hold.
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.constraintPropagation.enabled", "false")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.warehouse.dir", str(Path(folder) / "warehouse"))
            .config("spark.local.dir", str(Path(folder) / "work"))
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("ERROR")
        try:
            yield session
        finally:
            session.stop()


def spark_api(session: "SparkSession") -> "SparkAPI":
    """Splink on Spark, with Spark's plain dialect in place of Splink's own.

    Splink derives a dialect from sqlglot's, which the compiled sqlglot that dagster-dbt brings
    refuses ("interpreted classes cannot inherit from compiled"). What it adds, short literals of
    doubles, Spark reads as well in the long form. Functions of Splink's library are not used.
    """
    import sqlglot
    from splink import SparkAPI

    class PlainSparkAPI(SparkAPI):
        def _setup_for_execute_sql(self, sql: str, physical_name: str) -> str:
            return sqlglot.transpile(sql, read="spark", write="spark")[0]

    return PlainSparkAPI(
        spark_session=session, break_lineage_method="persist", register_udfs_automatically=False
    )


@contextmanager
def quiet_splink() -> Iterator[None]:
    """Splink advises people at a notebook; here only errors and our own notices count."""
    logger = logging.getLogger("splink")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
