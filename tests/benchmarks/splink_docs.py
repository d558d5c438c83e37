"""Splink with the configuration of its own documentation, on the rows of a labelled set: what ours is held against.

The configurations are those of Splink's notebooks "Linking a dataset of real historical persons" (deduplicate_50k_synthetic),
"Deduplicating the febrl3 dataset" and, for fake_1000, "Evaluation when you have fully labelled data"
(accuracy_analysis_from_labels_column), compared with Splink's own repository; only the columns have our names, and where the
notebooks sample at random it is with our seed. For febrl1 that of febrl3 stands. Where its documentation has no notebook for a
set a plain configuration in the same manner stands: comparisons of its library by the kind of column, and blocking on each.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from pipelines.resolve.bench import accuracy
from pipelines.resolve.splink_settings import quiet
from pipelines.resolve.training import em_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GRID = (0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
SEED = 7
_EDITS = [1, 2]


@dataclass(frozen=True)
class Docs:
    """What one notebook says: comparisons, blocking, deterministic rules with their recall, EM blocks, pairs for u."""

    comparisons: Callable[[], list[Any]]
    blocks: tuple[tuple[str, ...], ...]
    certain: tuple[str, ...]
    recall: float
    train: tuple[tuple[str, ...], ...]
    pairs: float = 1e6
    extra: str = ""


def _tf(comparison: Any) -> Any:
    return comparison.configure(term_frequency_adjustments=True)


def _historical() -> list[Any]:
    return [
        cl.ForenameSurnameComparison("given_name", "family_name", forename_surname_concat_col_name="both_names"),
        cl.DateOfBirthComparison("birth_date", input_is_string=True),
        cl.PostcodeComparison("postcode"),
        _tf(cl.ExactMatch("birth_place")),
        _tf(cl.ExactMatch("job_title")),
    ]


def _febrl() -> list[Any]:
    return [
        cl.NameComparison("given_name"),
        cl.NameComparison("family_name"),
        cl.DateOfBirthComparison("birth_date", input_is_string=True),
        cl.DamerauLevenshteinAtThresholds("national_id", [2]),
        _tf(cl.ExactMatch("street_number")),
        _tf(cl.ExactMatch("postcode")),
    ]


def _fake() -> list[Any]:
    return [
        cl.ForenameSurnameComparison("given_name", "family_name"),
        cl.DateOfBirthComparison("birth_date", input_is_string=True),
        _tf(cl.ExactMatch("city")),
        cl.EmailComparison("email"),
    ]


def _uganda() -> list[Any]:
    return [
        cl.NameComparison("given_name"),
        cl.NameComparison("family_name"),
        cl.DateOfBirthComparison("birth_date", input_is_string=True),
        cl.LevenshteinAtThresholds("phone", _EDITS),
        cl.DamerauLevenshteinAtThresholds("national_id", _EDITS),
    ]


def _organizations() -> list[Any]:
    return [
        _tf(cl.JaroWinklerAtThresholds("organization_name", [0.95, 0.88])),
        _tf(cl.JaroWinklerAtThresholds("street", [0.95, 0.88])),
        cl.ExactMatch("postcode"),
        cl.LevenshteinAtThresholds("phone", _EDITS),
    ]


_START = "substr({}, 1, {})"
_AREA = _START.format("postcode", 3)
_NEAR_NAMESAKES = (
    "substr(l.given_name, 1, 2) = substr(r.given_name, 1, 2) AND l.family_name = r.family_name "
    "AND substr(l.postcode, 1, 2) = substr(r.postcode, 1, 2)"
)
FEBRL = Docs(
    _febrl,
    (("national_id",), ("given_name",), ("family_name",), ("birth_date",), ("postcode",)),
    (
        "l.national_id = r.national_id",
        "l.given_name = r.given_name AND l.family_name = r.family_name AND l.birth_date = r.birth_date",
        "l.given_name = r.family_name AND l.family_name = r.given_name AND l.birth_date = r.birth_date",
    ),
    0.9,
    (("birth_date",), ("postcode",)),
    extra=", regexp_extract(street, '^[0-9]+') AS street_number",
)  # fmt: skip
CONFIGURATIONS = {
    "historical_50k": Docs(
        _historical,
        (
            (_START.format("given_name", 3), _START.format("family_name", 4)), ("family_name", "birth_date"),
            ("given_name", "birth_date"), ("postcode", "given_name"), ("postcode", "family_name"),
            ("birth_date", "birth_place"), (_AREA, "birth_date"), (_AREA, "given_name"), (_AREA, "family_name"),
            (_START.format("given_name", 2), _START.format("family_name", 2), _START.format("birth_date", 4)),
        ),
        (
            "l.given_name = r.given_name AND l.family_name = r.family_name AND l.birth_date = r.birth_date",
            _NEAR_NAMESAKES,
            "l.birth_date = r.birth_date AND l.postcode = r.postcode",
        ),
        0.6,
        (("given_name", "family_name"), ("birth_date",)),
        pairs=5e6,
        extra=", given_name || ' ' || family_name AS both_names",
    ),
    "febrl1": FEBRL,
    "febrl3": FEBRL,
    "fake_1000": Docs(
        _fake,
        (("given_name",), ("family_name",), ("birth_date",), ("email",)),
        (
            "l.given_name = r.given_name AND levenshtein(l.birth_date, r.birth_date) <= 1",
            "l.family_name = r.family_name AND levenshtein(l.birth_date, r.birth_date) <= 1",
            "l.given_name = r.given_name AND levenshtein(l.family_name, r.family_name) <= 2",
            "l.email = r.email",
        ),
        0.7,
        (("birth_date",), ("email",), ("given_name", "family_name")),
    ),
    "opencr_uganda": Docs(
        _uganda,
        (("national_id",), ("phone",), ("given_name", "family_name"), ("family_name", "birth_date")),
        ("l.national_id = r.national_id",),
        0.7,
        (("national_id",), ("given_name", "family_name")),
    ),
    "chicago_ecp_orgs": Docs(
        _organizations,
        (("organization_name",), ("street",), ("phone",), ("postcode", _START.format("organization_name", 4))),
        ("l.organization_name = r.organization_name AND l.street = r.street",),
        0.7,
        (("phone",), ("organization_name",)),
    ),
}  # fmt: skip


def measure(folder: Path) -> dict[str, float]:
    """Return Splink's accuracy on a set at its best threshold of ``GRID``, and its seconds; empty where it has no words for it."""
    docs = CONFIGURATIONS.get(folder.name)
    if docs is None:
        return {}
    started = time.perf_counter()
    con = duckdb.connect()
    try:
        with quiet():
            found, done = _clustered(con, folder, docs, started)
    finally:
        con.close()
    best = max(found, key=lambda threshold: found[threshold]["pairwise_f1"])
    line = {f"splink_{name}": found[best][name] for name in ("pairwise_f1", "b3_f1", "largest_cluster")}
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return {**line, "splink_threshold": best, "splink_seconds": round(done, 2), "splink_peak_memory_mb": peak}


def _clustered(
    con: duckdb.DuckDBPyConnection, folder: Path, docs: Docs, started: float
) -> tuple[dict[float, dict[str, float | int]], float]:
    """Learn, score, and cluster at every threshold; the time is that of one clustering."""
    con.execute(
        f"""SET threads = 2; CREATE TABLE people AS SELECT source_key AS unique_id, * EXCLUDE (source, source_key){docs.extra}
        FROM read_csv({str(folder / "records.csv")!r}, all_varchar = true, nullstr = '')"""
    )
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=docs.comparisons(),
        blocking_rules_to_generate_predictions=[block_on(*columns) for columns in docs.blocks],
    )
    linker = Linker(DuckDBAPI(connection=con).register("people"), settings, log_level=None, validate_settings=False)
    linker.training.estimate_probability_two_random_records_match(list(docs.certain), recall=docs.recall)
    linker.training.estimate_u_using_random_sampling(max_pairs=docs.pairs, seed=SEED)
    for columns in docs.train:
        em_session(linker, block_on(*columns), 1.0)
    scored = linker.inference.predict(threshold_match_probability=min(GRID), warning_mode="never")
    con.execute(
        f"CREATE TABLE truth AS SELECT * FROM read_csv({str(folder / 'truth.csv')!r}, all_varchar = true, nullstr = '')"
    )
    found, first = {}, 0.0
    for threshold in GRID:
        clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(
            scored, threshold_match_probability=threshold
        )
        first = first or time.perf_counter() - started
        rows = con.execute(
            f"SELECT c.cluster_id, t.cluster FROM {clusters.physical_name} c JOIN truth t ON t.source_key = c.unique_id"
        ).fetchall()
        found[threshold] = accuracy([row[0] for row in rows], [row[1] for row in rows])
    return found, first
