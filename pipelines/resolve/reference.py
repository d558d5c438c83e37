"""The reference of ``unisono bench pipeline``: Splink alone, with its own estimation, prediction and clustering."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from pipelines.resolve.splink_settings import quiet
from pipelines.resolve.training import em_session

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLE_PAIRS = 1e6
_SAMPLE_RECORDS = 100_000
_THRESHOLD = 0.95
_ROWS = """
    SELECT source_record_id AS unique_id, lower(given_name) AS given_name, lower(family_name) AS family_name,
           emails[1] AS email, phones[1] AS phone, lower(city) AS city, postcode
    FROM match_rows WHERE NOT is_stub"""
_BLOCKS = (
    ("email",),
    ("phone",),
    ("given_name", "family_name", "city"),
    ("family_name", "postcode"),
    ("given_name", "postcode"),
)
_TRAIN = (("email",), ("given_name", "family_name", "city"))


def splink_alone(match_rows: pa.Table) -> int:
    """Load the match rows, learn, score and cluster them; return the number of clusters."""
    connection = duckdb.connect()
    try:
        connection.execute("SET threads = 2")
        connection.register("match_rows", match_rows)
        connection.execute(f"CREATE TABLE people AS {_ROWS}")
        connection.unregister("match_rows")
        with quiet():
            return _clusters(connection, min(1.0, _SAMPLE_RECORDS / max(match_rows.num_rows, 1)))
    finally:
        connection.close()


def _clusters(connection: duckdb.DuckDBPyConnection, share: float) -> int:
    api = DuckDBAPI(connection=connection)
    linker = Linker(api.register("people"), _settings(), log_level=None, validate_settings=False)
    linker.training.estimate_u_using_random_sampling(max_pairs=_SAMPLE_PAIRS, seed=7)
    for columns in _TRAIN:
        em_session(linker, block_on(*columns), share)
    scored = linker.inference.predict(threshold_match_probability=0.05, warning_mode="never")
    found = linker.clustering.cluster_pairwise_predictions_at_threshold(scored, threshold_match_probability=_THRESHOLD)
    counted = connection.execute(f"SELECT count(DISTINCT cluster_id) FROM {found.physical_name}").fetchone()
    return int(counted[0]) if counted else 0


def _settings() -> SettingsCreator:
    return SettingsCreator(
        link_type="dedupe_only",
        probability_two_random_records_match=1e-6,
        comparisons=[
            cl.JaroWinklerAtThresholds("given_name", [0.92, 0.8]).configure(term_frequency_adjustments=True),
            cl.JaroWinklerAtThresholds("family_name", [0.92, 0.8]).configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("email", [2]),
            cl.ExactMatch("phone"),
            cl.ExactMatch("city").configure(term_frequency_adjustments=True),
            cl.ExactMatch("postcode"),
        ],
        blocking_rules_to_generate_predictions=[block_on(*columns) for columns in _BLOCKS],
        retain_intermediate_calculation_columns=False,
        retain_matching_columns=False,
    )
