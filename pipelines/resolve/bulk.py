"""Where the steps over all records run: in this process, or on Spark. The steps themselves are the same.

On Spark the records become features, held values, links and scored pairs there; what comes back is what the rest of resolve
reads: tables as long as the records, and the scored pairs above the floor.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, cast

from pipelines.resolve import blocking, deterministic, sql
from pipelines.resolve.compiled import compile_model
from pipelines.resolve.features import build_norm
from pipelines.resolve.finish import finish_norm
from pipelines.resolve.scoring import prepare, score_pairs

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from pipelines.resolve.features import Feature
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy
    from pipelines.spark.session import Spark

SCORE_FLOOR = 0.05
BROUGHT = ("norm", "sound", "held", "identifier_stats", "person_key", "link")


class Bulk(Protocol):
    """Makes the tables of a full run in the DuckDB connection that the rest of resolve works with."""

    def features(self, entity: str, policy: Policy, known: tuple[Feature, ...] | None) -> tuple[Feature, ...]:
        """Create ``norm``, ``sound``, ``held``, ``identifier_stats``, ``person_key`` and ``link``; return the features."""

    def pairs(self, model: MatchModel) -> None:
        """Find the candidate pairs; create ``keyed``, if the model has blocking keys."""

    def weights(self, model: MatchModel) -> None:
        """Create ``sampled_scored`` from all the candidate pairs, which are kept."""

    def scores(self, model: MatchModel) -> None:
        """Create ``scored`` (l, r, weight, …) from the candidate pairs, and drop these."""


class InProcess:
    """Everything in the connection itself; ``weights`` and ``scores`` need ``prepare``."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con

    def features(self, entity: str, policy: Policy, known: tuple[Feature, ...] | None) -> tuple[Feature, ...]:
        """Create the tables of features from ``match``."""
        features = build_norm(self._con, entity, policy, known)
        deterministic.build_values(self._con, features, policy)
        finish_norm(self._con, features, policy)
        deterministic.build_links(self._con, policy)
        return features

    def pairs(self, model: MatchModel) -> None:
        """Create ``pair`` and ``keyed``."""
        blocking.build_pairs(self._con, model.atoms, model.keys)

    def weights(self, model: MatchModel) -> None:
        """Score the pairs, however low."""
        score_pairs(self._con, compile_model(model), "pair", "sampled_scored", None)

    def scores(self, model: MatchModel) -> None:
        """Score the pairs."""
        score_pairs(self._con, compile_model(model), "pair", "scored", math.log2(SCORE_FLOOR / (1 - SCORE_FLOOR)))
        self._con.execute("DROP TABLE pair")


class OnSpark:
    """The same steps on Spark, their results brought to the connection; ``close`` when the resolution is there."""

    def __init__(self, con: duckdb.DuckDBPyConnection, spark: Spark, records: pa.Table) -> None:
        from pipelines.spark.connection import SparkConnection  # noqa: PLC0415  an extra: only who asks for Spark has it

        self._con = con
        self._spark = SparkConnection(spark)
        self._there = cast("duckdb.DuckDBPyConnection", self._spark)
        self._steps = InProcess(self._there)
        self._spark.register("match", records)

    def features(self, entity: str, policy: Policy, known: tuple[Feature, ...] | None) -> tuple[Feature, ...]:
        """Create the tables of features there, and bring them."""
        features = self._steps.features(entity, policy, known)
        named = any(feature.column == "family" for feature in features)
        for name in BROUGHT:
            if name != "sound" or named:
                self._bring(name)
        return features

    def pairs(self, model: MatchModel) -> None:
        """Create ``pair`` there; ``keyed``, which the index keeps, has DuckDB's hashes, so it is made here."""
        self._steps.pairs(model)
        if blocking.EVERY_PAIR not in model.keys:
            blocking.build_keyed(self._con, model.atoms, model.keys)

    def weights(self, model: MatchModel) -> None:
        """Score the pairs there."""
        prepare(self._there, compile_model(model))
        self._steps.weights(model)
        self._bring("sampled_scored")

    def scores(self, model: MatchModel) -> None:
        """Score the pairs there."""
        prepare(self._there, compile_model(model))
        self._steps.scores(model)
        self._bring("scored")

    def close(self) -> None:
        """Drop what was made there."""
        self._spark.close()

    def _bring(self, name: str) -> None:
        con: Any = self._con
        con.register("brought", self._spark.table(name))
        con.execute(f"CREATE OR REPLACE TABLE {sql.quote(name)} AS SELECT * FROM brought")
        con.unregister("brought")
