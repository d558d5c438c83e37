"""One Spark session for all tests that need one; in local mode, on this machine only."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.spark.session import Spark

SMALL = {
    "spark.default.parallelism": "1",
    "spark.driver.extraJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmn512m -XX:MetaspaceSize=256m -XX:ReservedCodeCacheSize=256m"
        " -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
    ),
    "spark.driver.memory": "1g",
    "spark.executor.heartbeatInterval": "60s",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.network.timeout": "600s",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.parquet.compression.codec": "uncompressed",
    "spark.sql.shuffle.partitions": "1",
}
"""Settings for few rows on a machine that is busy with other tests: much of the work would be Java compiling and clearing up."""
COMPILED = {"spark.sql.codegen.factoryMode": "FALLBACK", "spark.sql.codegen.wholeStage": "true"}
"""As Spark does it unless told otherwise: queries become Java classes, which costs more than few rows do."""
_MISSING = (
    "a Java 17 runtime and PySpark are needed: apt-get install openjdk-17-jre-headless; pip install 'unisono[spark]'"
)


def need_spark() -> None:
    """Where Java or PySpark is missing CI fails, others leave the test out."""
    if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(_MISSING)


@pytest.fixture(scope="session")
def spark() -> Spark:
    """A session with two threads."""
    need_spark()
    from pipelines.spark.settings import SparkSettings

    return SparkSettings("local[2]", None, tuple(sorted(SMALL.items()))).session()


@pytest.fixture
def compiled(spark: Spark) -> Iterator[Spark]:
    """The session while its queries become Java classes: for what an expression means, row by row."""
    settings = spark._spark.conf
    for key, value in COMPILED.items():
        settings.set(key, value)
    yield spark
    for key in COMPILED:
        settings.set(key, SMALL[key])
