"""One Spark session for all tests that need one; in local mode, on this machine only."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipelines.spark.session import Spark

SMALL = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmn512m -XX:MetaspaceSize=256m -XX:ReservedCodeCacheSize=256m"
    ),
    "spark.executor.heartbeatInterval": "60s",
    "spark.network.timeout": "600s",
}
"""Settings for few rows on a machine that is busy with other tests: much of the work would be Java optimising and clearing up itself."""
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
