"""Splink at work: score candidate pairs under a model. Fresh and loaded models take the same path."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from splink import DuckDBAPI, Linker

from pipelines.resolve import sql
from pipelines.resolve.guards import weight_cap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

    from pipelines.resolve.model import MatchModel, Weighted

UNLISTED = "~"


def settings(comparisons: tuple[Weighted, ...], prior: float) -> dict[str, Any]:
    """Return Splink settings for the comparisons and the probability that two random records match."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "rid",
        "probability_two_random_records_match": prior,
        "blocking_rules_to_generate_predictions": [],
        "comparisons": [_splink_comparison(item) for item in comparisons],
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
        "max_iterations": 15,
        "em_convergence": 0.001,
    }


def _splink_comparison(item: Weighted) -> dict[str, Any]:
    levels = []
    for level, m, u in item.levels:
        entry: dict[str, Any] = {"sql_condition": level.condition, "label_for_charts": level.label}
        if level.label == "missing":
            entry["is_null_level"] = True
        else:
            entry |= {"m_probability": m, "u_probability": u}
        if level.tf:
            entry |= {"tf_adjustment_column": level.tf, "tf_adjustment_weight": 1.0}
        levels.append(entry)
    return {"output_column_name": item.name, "comparison_levels": levels}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Splink's progress messages and advice off our output."""
    logger = logging.getLogger("splink")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def make_linker(
    con: duckdb.DuckDBPyConnection, table: str, comparisons: tuple[Weighted, ...], prior: float
) -> tuple[DuckDBAPI, Linker]:
    """Return a Splink linker over one of our tables, and its door to the database."""
    api = DuckDBAPI(connection=con)
    linker = Linker(api.register(table), settings(comparisons, prior), log_level=None, validate_settings=False)
    return api, linker


def score_pairs(con: duckdb.DuckDBPyConnection, model: MatchModel, pairs: str, out: str, floor: float | None) -> None:
    """Create ``out`` (l, r, weight, score, cap): match weights of the rows of ``pairs`` from the probability ``floor`` on.

    ``weight`` is Splink's ``score``, held down to ``cap`` where a guard says so.
    """
    with quiet():
        api, linker = make_linker(con, "scored_records", model.comparisons, model.prior)
        for column in model.frequencies:
            linker.table_management.register_term_frequency_lookup(api.register(f"frozen_tf_{column}"), column)
        con.execute(
            f"""CREATE OR REPLACE VIEW splink_pairs AS
            SELECT l AS join_key_l, r AS join_key_r, '0' AS match_key FROM {pairs}"""
        )
        linker.table_management.register_blocked_pairs_for_predict(api.register("splink_pairs"))
        scored = linker.inference.predict(threshold_match_probability=floor, warning_mode="never")
        con.execute(
            f"""CREATE OR REPLACE TABLE {out} AS
            SELECT l, r, least(score, coalesce(cap, score)) AS weight, score, cap FROM (
                SELECT s.rid_l AS l, s.rid_r AS r, s.match_weight AS score,
                {weight_cap(model.features, model.frequencies)} AS cap
                FROM {scored.physical_name} s
                JOIN scored_records a ON a.rid = s.rid_l JOIN scored_records b ON b.rid = s.rid_r)"""
        )
        con.execute(f"DROP TABLE {scored.physical_name}")


def freeze_frequencies(con: duckdb.DuckDBPyConnection, frequencies: Mapping[str, Mapping[str, float]]) -> None:
    """Create the tables of term frequencies that ``score_pairs`` uses, as the model froze them.

    A value that the model does not list has the frequency of the rare ones, however often it is seen now.
    """
    for column, table in frequencies.items():
        quoted = sql.quote(column)
        listed = [(key, value) for key, value in table.items() if key != UNLISTED]
        con.register(
            "listed",
            pa.table({"h": [key for key, _ in listed], "tf": pa.array([tf for _, tf in listed], pa.float64())}),
        )
        con.execute(
            f"""CREATE OR REPLACE TABLE {sql.quote("frozen_tf_" + column)} AS
            SELECT v AS {quoted}, coalesce(tf, {table[UNLISTED]!r}) AS {sql.quote("tf_" + column)}
            FROM (SELECT DISTINCT {quoted} AS v FROM scored_records WHERE {quoted} IS NOT NULL)
            LEFT JOIN listed ON h = left(md5(v), 16)"""
        )
        con.unregister("listed")
