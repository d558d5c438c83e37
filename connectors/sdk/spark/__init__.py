"""The definitions (DuckDB SQL) said in Spark SQL, with the functions that Spark lacks. Knows no Spark session."""

from __future__ import annotations

from connectors.sdk.spark.functions import NotOnSpark
from connectors.sdk.spark.translate import to_spark

__all__ = ["NotOnSpark", "to_spark"]
