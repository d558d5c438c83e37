"""Match table in, partition and evidence out: the one code path of store, benchmark and user's files."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.resolve import blocking, cluster, deterministic, training
from pipelines.resolve.cluster import Edges
from pipelines.resolve.comparisons import build_comparisons
from pipelines.resolve.features import build_norm, profile_features
from pipelines.resolve.guards import OWN
from pipelines.resolve.model import MatchModel
from pipelines.resolve.scoring import freeze_frequencies, score_pairs
from pipelines.resolve.threshold import choose_threshold, estimate_prior

if TYPE_CHECKING:
    from pipelines.resolve.cluster import Ints
    from pipelines.resolve.features import Feature
    from pipelines.resolve.rules import Policy

SCORE_FLOOR = 0.05
UNRELIABLE = 0.001
MEMORY_LIMIT = "1800MB"


@dataclass(frozen=True)
class Resolution:
    """Who is who: per record (in source_ref order) its cluster, and the evidence that says so."""

    source_record_ids: Ints
    source_refs: pa.Array
    is_stub: np.ndarray[tuple[int], np.dtype[np.bool_]]
    labels: Ints
    evidence: pa.Table
    identifier_stats: pa.Table
    model: MatchModel

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(np.unique(self.labels))


def resolve_table(
    table: pa.Table, entity: str, policy: Policy, model: MatchModel | None = None, tmp: str | None = None
) -> Resolution:
    """Partition the records of a match table; without a model one is learned from them first."""
    con = connect(tmp)
    try:
        con.register("match_arrow", table)
        con.execute("CREATE TABLE match AS SELECT * FROM match_arrow")
        con.unregister("match_arrow")
        return _resolve(con, entity, policy, model)
    finally:
        con.close()


def connect(tmp: str | None = None) -> duckdb.DuckDBPyConnection:
    """Return a private in-memory DuckDB within the memory budget."""
    con = duckdb.connect()
    con.execute(f"SET threads = 2; SET memory_limit = '{MEMORY_LIMIT}'; SET preserve_insertion_order = false")
    if tmp:
        con.execute(f"SET temp_directory = '{tmp}'")
    return con


def _resolve(con: duckdb.DuckDBPyConnection, entity: str, policy: Policy, model: MatchModel | None) -> Resolution:
    features = build_norm(con, entity, policy)
    deterministic.build_values(con, features, policy)
    deterministic.drop_shared_values(con, features, policy)
    deterministic.build_links(con, policy)
    con.execute("CREATE OR REPLACE VIEW scored_records AS SELECT * FROM norm WHERE NOT is_stub")
    rows = _count(con, "norm")
    if model is None:
        model = _learn(con, entity, policy, features, rows)
    else:
        _score(con, model, features)
    labels = _partition(con, model, policy, rows)
    return _resolution(con, model, policy, labels)


def _learn(
    con: duckdb.DuckDBPyConnection, entity: str, policy: Policy, features: tuple[Feature, ...], rows: int
) -> MatchModel:
    """Learn a model and leave its scores in ``scored``."""
    profiles = profile_features(con, features)
    scored_rows = _count(con, "scored_records")
    enough = scored_rows >= policy.training_rows
    comparisons = build_comparisons(features, profiles, choosy=enough)
    learned = enough and bool(comparisons)
    weighted = training.learn(con, comparisons, scored_rows) if learned else training.built_in(comparisons)
    atoms = blocking.build_atoms(features, profiles)
    model = MatchModel(
        entity=entity,
        origin="learned" if learned else "built-in",
        prior=training.START_PRIOR,
        threshold=0.0,
        comparisons=weighted,
        features=features,
        frequencies=training.frequencies(con, comparisons) if learned else {},
        atoms=atoms,
        keys=blocking.choose_keys(con, atoms) if enough else (blocking.EVERY_PAIR,),
        rows=rows,
        policy_version=policy.version,
    )
    model = _without_frequencies(model) if not learned else model
    _score(con, model, features, floor=None)
    return _calibrated(con, model, scored_rows)


def _without_frequencies(model: MatchModel) -> MatchModel:
    """Take term frequencies out: the built-in weights know none."""
    plain = tuple(
        replace(item, levels=tuple((replace(level, tf=None), m, u) for level, m, u in item.levels))
        for item in model.comparisons
    )
    return replace(model, comparisons=plain)


def _calibrated(con: duckdb.DuckDBPyConnection, model: MatchModel, rows: int) -> MatchModel:
    """Give the model the prior and threshold that its own scores imply, and shift the scores accordingly."""
    scored = _edges(con, "scored")
    prior = estimate_prior(scored.weight, model.prior, rows)
    prior = prior if model.origin == "learned" else min(prior, training.HIGHEST_BUILT_IN_PRIOR)
    shift = _log_odds(prior) - _log_odds(model.prior)
    model = replace(model, prior=prior)
    floor = _log_odds(SCORE_FLOOR)
    con.execute(
        f"""CREATE OR REPLACE TABLE scored AS
        SELECT l, r, least(score + {shift!r}, coalesce(cap, score + {shift!r})) AS weight FROM scored
        WHERE score + {shift!r} >= {floor!r}"""
    )
    threshold, report = choose_threshold(
        _count(con, "norm"), _edges(con, "scored"), lambda left, right: _score_all(con, model, left, right)
    )
    return replace(model, threshold=threshold, report=report)


def _log_odds(probability: float) -> float:
    return math.log2(probability / (1 - probability))


def _score(
    con: duckdb.DuckDBPyConnection, model: MatchModel, features: tuple[Feature, ...], floor: float | None = SCORE_FLOOR
) -> None:
    """Create ``scored`` (l, r, weight) from the model's blocking keys and weights."""
    present = {feature.column for feature in features}
    missing = [feature for feature in model.features if feature.column not in present]
    for feature in missing:
        con.execute(f'ALTER TABLE norm ADD COLUMN IF NOT EXISTS "{feature.column}" {_null_type(feature)}')
        if feature.column in OWN:
            con.execute(f"ALTER TABLE norm ADD COLUMN IF NOT EXISTS {OWN[feature.column]} VARCHAR[]")
    con.execute("CREATE OR REPLACE VIEW scored_records AS SELECT * FROM norm WHERE NOT is_stub")
    freeze_frequencies(con, model.frequencies)
    blocking.build_pairs(con, model.atoms, model.keys)
    if model.comparisons and model.keys:
        score_pairs(con, model, "pair", "scored", floor)
    else:
        con.execute("CREATE OR REPLACE TABLE scored (l INTEGER, r INTEGER, weight DOUBLE, score DOUBLE, cap DOUBLE)")
    con.execute("DROP TABLE pair")


def _null_type(feature: Feature) -> str:
    return "VARCHAR[]" if feature.kind in ("email", "phone", "social", "website") else "VARCHAR"


def _score_all(con: duckdb.DuckDBPyConnection, model: MatchModel, left: Ints, right: Ints) -> Edges:
    """Score the given pairs, found by blocking or not; pairs with a stub have no score."""
    if not model.comparisons or not len(left):
        return Edges.none()
    con.register("wanted_arrow", pa.table({"l": left.astype(np.int32), "r": right.astype(np.int32)}))
    con.execute(
        "CREATE OR REPLACE TABLE wanted AS SELECT w.l, w.r FROM wanted_arrow w "
        "JOIN norm a ON a.rid = w.l JOIN norm b ON b.rid = w.r WHERE NOT a.is_stub AND NOT b.is_stub"
    )
    con.unregister("wanted_arrow")
    score_pairs(con, model, "wanted", "wanted_scored", None)
    edges = _edges(con, "wanted_scored")
    con.execute("DROP TABLE wanted; DROP TABLE wanted_scored")
    return edges


def _partition(con: duckdb.DuckDBPyConnection, model: MatchModel, policy: Policy, rows: int) -> Ints:
    return cluster.partition(
        rows,
        _edges(con, "scored"),
        deterministic.links(con),
        lambda label: deterministic.conflicts(con, label, policy, unreliable_systems(model)),
        model.threshold,
        lambda left, right: _score_all(con, model, left, right),
    )


def unreliable_systems(model: MatchModel) -> tuple[str, ...]:
    """Return identifier systems whose values differ among matching records more often than a unique one's may."""
    found = {item.name: item.levels[-1][1] for item in model.comparisons if item.origin == "learned"}
    return tuple(system for system, column in model.systems.items() if found.get(column, 0.0) > UNRELIABLE)


def _edges(con: duckdb.DuckDBPyConnection, table: str) -> Edges:
    found = con.execute(f"SELECT l, r, round(weight, 6) AS weight FROM {table} ORDER BY l, r").to_arrow_table()
    left, right = (found[name].to_numpy().astype(np.int64) for name in ("l", "r"))
    return Edges(left, right, found["weight"].to_numpy().astype(np.float64))


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def _resolution(con: duckdb.DuckDBPyConnection, model: MatchModel, policy: Policy, labels: Ints) -> Resolution:
    records = con.execute("SELECT source_record_id, source_ref, is_stub FROM norm ORDER BY rid").to_arrow_table()
    floor = _log_odds(policy.ledger_floor)
    evidence = con.execute(
        f"""SELECT a.source_record_id AS left_id, b.source_record_id AS right_id, kind, rule, judgement, weight FROM (
            SELECT l, r, 'deterministic' AS kind, rule, 'positive' AS judgement, NULL::DOUBLE AS weight FROM link
            UNION ALL
            SELECT l, r, 'deterministic', 'unique_identifier', 'negative', NULL FROM conflict
            UNION ALL
            SELECT l, r, 'scored', NULL, CASE WHEN weight >= {model.threshold!r} THEN 'positive' ELSE 'unsure' END,
            round(weight, 3)
            FROM scored WHERE weight >= {floor!r})
        JOIN norm a ON a.rid = l JOIN norm b ON b.rid = r ORDER BY l, r, kind, rule"""
    ).to_arrow_table()
    stats = con.execute(
        f"""SELECT kind, value, holders, names, names > {policy.shared_value_names} AS blocked
        FROM identifier_stats ORDER BY kind, value"""
    ).to_arrow_table()
    return Resolution(
        source_record_ids=records["source_record_id"].to_numpy().astype(np.int64),
        source_refs=records["source_ref"].combine_chunks(),
        is_stub=np.asarray(records["is_stub"].to_numpy(zero_copy_only=False), np.bool_),
        labels=labels,
        evidence=evidence,
        identifier_stats=stats,
        model=model,
    )
