"""Who does not ask for Spark needs neither PySpark nor Java; who asks for it without having them is told how to get them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.spark.settings import SparkSettings

_MODULES = "pipelines.stages, pipelines.resolve.lifecycle, pipelines.normalise.mapper, pipelines.spark.connection, pipelines.cli"


@pytest.mark.slow
def test_nothing_imports_pyspark_before_a_session_is_asked_for():
    code = (
        f"import sys, {_MODULES}; print(sorted({{name.split('.')[0] for name in sys.modules}} & {{'pyspark', 'py4j'}}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_without_java_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(FixConfig, match="needs Java") as refused:
        SparkSettings("local[1]").session()

    assert "openjdk-17" in str(refused.value)


def test_without_pyspark_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/somewhere")
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)

    with pytest.raises(FixConfig, match="needs PySpark") as refused:
        SparkSettings("local[1]").session()

    assert "unisono[spark]" in str(refused.value)


def test_a_block_of_settings_becomes_texts_as_spark_reads_them():
    made = SparkSettings.of({"master": "local[2]", "config": {"spark.ui.enabled": True, "spark.executor.cores": 2}})

    assert made == SparkSettings("local[2]", None, (("spark.executor.cores", "2"), ("spark.ui.enabled", "true")))
