"""Splink at work: the settings of a model, for learning its weights and for holding our scorer to Splink's."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from splink import DuckDBAPI, Linker

from pipelines.resolve.comparisons import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from pipelines.resolve.comparisons import Level
    from pipelines.resolve.model import Weighted


def settings(comparisons: tuple[Weighted, ...], prior: float) -> dict[str, Any]:
    """Return Splink settings for the comparisons and the probability that two random records match."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "rid",
        "probability_two_random_records_match": prior,
        "blocking_rules_to_generate_predictions": [],
        "comparisons": [_comparison(item) for item in comparisons],
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
        "max_iterations": 15,
        "em_convergence": 0.001,
    }


def _comparison(item: Weighted) -> dict[str, Any]:
    levels = []
    for level, m, u in item.levels:
        entry: dict[str, Any] = {"sql_condition": _condition(item.name, level), "label_for_charts": level.label}
        if level.label == MISSING:
            entry["is_null_level"] = True
        else:
            entry |= {"m_probability": m, "u_probability": u}
        if level.tf:
            entry |= {"tf_adjustment_column": level.tf, "tf_adjustment_weight": 1.0}
        levels.append(entry)
    return {"output_column_name": item.name, "comparison_levels": levels}


def _condition(column: str, level: Level) -> str:
    if level.label == MISSING:
        return f"{column}_l IS NULL OR {column}_r IS NULL"
    return "ELSE" if level.check is None else level.check.sql


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
