"""Match table in, partition and evidence out: the one code path of store, benchmark and user's files."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.resolve import blocking, cluster, deterministic, sampling, weights
from pipelines.resolve.alarms import Alarm, alarms
from pipelines.resolve.batches import in_batches
from pipelines.resolve.bulk import InProcess, OnSpark
from pipelines.resolve.cannot_link import CannotLinks
from pipelines.resolve.cluster import Edges
from pipelines.resolve.comparisons import build_comparisons
from pipelines.resolve.compiled import compile_model
from pipelines.resolve.decisions import Constraints
from pipelines.resolve.duck import connect
from pipelines.resolve.features import numbered, profile_features
from pipelines.resolve.guards import guard_of
from pipelines.resolve.implied import implied
from pipelines.resolve.model import MatchModel
from pipelines.resolve.scoring import prepare, score_pairs
from pipelines.resolve.threshold import choose_threshold, estimate_prior, probability

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from pipelines.resolve.bulk import Bulk
    from pipelines.resolve.cluster import Decided, Ints
    from pipelines.resolve.comparisons import Comparison
    from pipelines.resolve.compiled import Compiled
    from pipelines.resolve.features import Feature
    from pipelines.resolve.guards import Guard
    from pipelines.resolve.model import Weighted
    from pipelines.resolve.rules import Policy
    from pipelines.spark.session import Spark


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
        return int(np.count_nonzero(np.bincount(self.labels)))

    @cached_property
    def alarms(self) -> tuple[Alarm, ...]:
        """Clusters that look as if they held several parties."""
        return alarms(self.source_record_ids, self.labels, self.evidence)


def resolve_table(
    table: pa.Table,
    entity: str,
    policy: Policy,
    model: MatchModel | None = None,
    constraints: Constraints | None = None,
    then: Callable[[duckdb.DuckDBPyConnection, Resolution], None] | None = None,
    meanwhile: Meanwhile | None = None,
    spark: Spark | None = None,
) -> Resolution:
    """Partition the records of a match table; without a model one is learned from them first.

    What people decided (``constraints``) binds the partition and stays out of what is learned. ``meanwhile`` is called
    beside the steps that leave a core free: learning, choosing the threshold and the partition, and ``then``. What it
    raises is raised here.
    ``then`` is called while the tables that the resolution was made in are still there; who writes the resolution does it
    there. With ``spark`` the steps over all records run there; the result is the same.
    """
    con = connect(table.num_rows)
    records = numbered(table)
    bulk = OnSpark(con, spark, records) if spark else InProcess(con)
    try:
        con.register("match", in_batches(records))
        with ThreadPoolExecutor(max_workers=1) as threads:
            beside = _Beside(con, records, meanwhile, threads)
            resolution = _resolve(con, bulk, records, entity, policy, model, constraints or Constraints(), beside)
            if then is not None:
                then(con, resolution)
            beside.end()
        return resolution
    finally:
        con.close()
        if isinstance(bulk, OnSpark):
            bulk.close()


class Meanwhile(Protocol):
    """What is done beside the resolution, on a connection of its own to the same tables, one step after the other."""

    def records(self, con: duckdb.DuckDBPyConnection, features: tuple[Feature, ...]) -> None:
        """Called when ``match``, ``norm`` and ``held`` are as they stay, if a model with blocking keys is to come."""

    def keys(self, con: duckdb.DuckDBPyConnection, model: MatchModel) -> None:
        """Called when ``keyed`` too is as it stays."""


class _Beside:
    """Does the caller's steps in a thread."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        records: pa.Table,
        meanwhile: Meanwhile | None,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._con, self._meanwhile, self._threads = con.cursor(), meanwhile, threads
        self._begun: list[Future[None]] = []
        if meanwhile is not None:
            self._con.register("match", in_batches(records))

    def records(self, features: tuple[Feature, ...]) -> None:
        """Begin the first step."""
        if self._meanwhile is not None:
            self._begun.append(self._threads.submit(self._meanwhile.records, self._con, features))

    def keys(self, model: MatchModel) -> None:
        """Begin the second step, after the first."""
        if self._begun and self._meanwhile is not None:
            self._begun.append(self._threads.submit(self._meanwhile.keys, self._con, model))

    def end(self) -> None:
        """Wait for its end."""
        for step in self._begun:
            step.result()


def _resolve(
    con: duckdb.DuckDBPyConnection,
    bulk: Bulk,
    records: pa.Table,
    entity: str,
    policy: Policy,
    model: MatchModel | None,
    constraints: Constraints,
    beside: _Beside,
) -> Resolution:
    features = bulk.features(entity, policy, model.features if model else None)
    keyed = _keyed(con, policy, model)
    if model is None:
        if keyed:
            beside.records(features)
        model, scored = _learn(con, bulk, entity, policy, features, beside)
    else:
        bulk.pairs(model)
        prepare(con, compile_model(model))
        if keyed:  # not beside the pairs: both need most of the memory
            beside.records(features)
        bulk.scores(model)
        beside.keys(model)
        scored = _edges(con, "scored")
    labels = partition_of(con, model, policy, constraints.over(_ids(records)), scored)
    return _resolution(con, records, model, policy, labels, constraints)


def _keyed(con: duckdb.DuckDBPyConnection, policy: Policy, model: MatchModel | None) -> bool:
    """Tell whether pairs are, or will be, found by blocking keys: of few records every pair is scored."""
    if model is not None:
        return blocking.EVERY_PAIR not in model.keys
    return _count(con, "norm WHERE NOT is_stub") >= policy.training_rows


def _learn(
    con: duckdb.DuckDBPyConnection,
    bulk: Bulk,
    entity: str,
    policy: Policy,
    features: tuple[Feature, ...],
    beside: _Beside,
) -> tuple[MatchModel, Edges]:
    """Learn a model and leave its scores in ``scored``; return both."""
    con.execute("CREATE OR REPLACE VIEW scored_records AS SELECT * FROM norm WHERE NOT is_stub")
    profiles = profile_features(con, features)
    rows = _count(con, "scored_records")
    enough = rows >= policy.training_rows
    sampling.sample(con)
    known = implied(con, features) if enough else set()
    compared = tuple(f for f in features if f.column not in known)
    comparisons = build_comparisons(compared, profiles, choosy=enough)
    learned = enough and bool(comparisons)
    frequencies = weights.frequencies(con, comparisons) if learned else {}
    model = MatchModel(
        entity=entity,
        origin="learned" if learned else "built-in",
        prior=weights.START_PRIOR,
        threshold=0.0,
        comparisons=_weighted(con, comparisons, rows, guard_of(features, frequencies), learned=learned),
        features=features,
        frequencies=frequencies,
        atoms=blocking.build_atoms(features, profiles),
        keys=(blocking.EVERY_PAIR,),
        rows=_count(con, "norm"),
        policy_version=policy.version,
    )
    model = _without_frequencies(model) if not learned else model
    prepare(con, compile_model(model))
    if enough:
        model = _with_keys(con, model, rows)
    bulk.pairs(model)
    if not enough:
        model = _with_prior(con, bulk, model, rows)
    bulk.scores(model)
    beside.keys(model)  # what follows leaves a core free
    scored = _edges(con, "scored")
    return _with_threshold(con, model, scored), scored


def _weighted(
    con: duckdb.DuckDBPyConnection,
    comparisons: tuple[Comparison, ...],
    rows: int,
    guard: Guard | None,
    *,
    learned: bool,
) -> tuple[Weighted, ...]:
    if not learned:
        return weights.built_in(comparisons)
    from pipelines.resolve.training import learn  # noqa: PLC0415  imports Splink: only who learns pays

    return learn(con, comparisons, rows, guard)


def _without_frequencies(model: MatchModel) -> MatchModel:
    """Take term frequencies out: the built-in weights know none."""
    plain = tuple(
        replace(item, levels=tuple((replace(level, tf=None), m, u) for level, m, u in item.levels))
        for item in model.comparisons
    )
    return replace(model, comparisons=plain)


def _with_prior(con: duckdb.DuckDBPyConnection, bulk: Bulk, model: MatchModel, rows: int) -> MatchModel:
    """Give a model of few records the prior that the scores of all their pairs imply."""
    bulk.weights(model)
    prior = estimate_prior(_edges(con, "sampled_scored").weight, model.prior, rows)
    con.execute("DROP TABLE sampled_scored")
    return replace(model, prior=min(prior, weights.HIGHEST_BUILT_IN_PRIOR))


def _with_keys(con: duckdb.DuckDBPyConnection, model: MatchModel, rows: int) -> MatchModel:
    """Give the model its prior, and the blocking keys that by its own scores find the matches of a sample of records."""
    keys, share = blocking.sample_pairs(con, model.atoms, rows)
    con.execute("CREATE OR REPLACE TABLE looked_at AS SELECT DISTINCT l, r FROM found")
    score_pairs(con, compile_model(model), "looked_at", "looked_scored", None)
    scored = _edges(con, "looked_scored")
    prior = estimate_prior(scored.weight, model.prior, rows, share)
    chance = probability(scored.weight - _log_odds(model.prior) + _log_odds(prior))
    con.register("numbers", pa.table({"l": scored.left, "r": scored.right, "pair": np.arange(len(scored))}))
    by_key = con.execute("SELECT k, pair FROM found JOIN numbers USING (l, r) ORDER BY k, pair").to_arrow_table()
    con.unregister("numbers")
    con.execute("DROP TABLE found; DROP TABLE looked_at; DROP TABLE looked_scored")
    chosen = blocking.choose_keys(
        keys, by_key["k"].to_numpy(), by_key["pair"].to_numpy(), chance, blocking.budget(rows) / share
    )
    return replace(model, prior=prior, keys=chosen)


def _with_threshold(con: duckdb.DuckDBPyConnection, model: MatchModel, scored: Edges) -> MatchModel:
    compiled = compile_model(model)
    threshold, report = choose_threshold(
        _count(con, "norm"), scored, lambda left, right: _score_all(con, compiled, left, right)
    )
    return replace(model, threshold=threshold, report=report)


def _log_odds(probability: float) -> float:
    return math.log2(probability / (1 - probability))


def _score_all(
    con: duckdb.DuckDBPyConnection, compiled: Compiled, left: Ints, right: Ints, floor: float | None = None
) -> Edges:
    """Score the given pairs, found by blocking or not, from the ``floor`` on; pairs with a stub have no score."""
    if not compiled.comparisons or not len(left):
        return Edges.none()
    con.register("wanted", pa.table({"l": left.astype(np.int32), "r": right.astype(np.int32)}))
    con.execute("CREATE OR REPLACE TEMP TABLE unscored AS SELECT l, r FROM wanted ANTI JOIN scored USING (l, r)")
    score_pairs(con, compiled, "unscored", "newly_scored", floor)
    both = (
        "SELECT l, r, weight FROM scored SEMI JOIN wanted USING (l, r) UNION ALL SELECT l, r, weight FROM newly_scored"
    )
    edges = _edges(con, f"({both})")
    con.unregister("wanted")
    con.execute("DROP TABLE newly_scored; DROP TABLE unscored")
    return edges


def _ids(records: pa.Table) -> Ints:
    """Return the source_record_ids of the records in the order of their numbers."""
    ordered = records["source_record_id"].take(pc.sort_indices(records["rid"]))
    return np.asarray(ordered.combine_chunks().to_numpy(zero_copy_only=False), np.int64)


def partition_of(
    con: duckdb.DuckDBPyConnection, model: MatchModel, policy: Policy, decided: Decided, scored: Edges | None = None
) -> Ints:
    """Return the partition of the records in ``norm`` from held, link, scored and frequent; makes ``conflict``."""
    compiled = compile_model(model)
    return cluster.partition(
        _count(con, "norm"),
        _edges(con, "scored") if scored is None else scored,
        deterministic.links(con),
        lambda label: CannotLinks.of(model, policy).make(con, label),
        model.threshold,
        lambda left, right: _score_all(con, compiled, left, right, -cluster.CLIP),
        decided,
    )


def _edges(con: duckdb.DuckDBPyConnection, table: str) -> Edges:
    found = con.execute(f"SELECT l, r, round(weight, 6) AS weight FROM {table} ORDER BY l, r").to_arrow_table()
    left, right = (found[name].to_numpy().astype(np.int64) for name in ("l", "r"))
    return Edges(left, right, found["weight"].to_numpy().astype(np.float64))


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def _resolution(
    con: duckdb.DuckDBPyConnection,
    records: pa.Table,
    model: MatchModel,
    policy: Policy,
    labels: Ints,
    constraints: Constraints,
) -> Resolution:
    floor = _log_odds(policy.ledger_floor)
    evidence = con.execute(
        f"""SELECT l, r, kind, rule, judgement, weight FROM (
            SELECT l, r, 'deterministic' AS kind, rule, 'positive' AS judgement, NULL::DOUBLE AS weight FROM link
            UNION ALL
            SELECT l, r, 'deterministic', rule, 'negative', NULL FROM conflict
            UNION ALL
            SELECT l, r, 'scored', NULL, CASE WHEN round(weight, 6) >= {model.threshold!r} THEN 'positive' ELSE 'unsure' END,
            round(weight, 3)
            FROM scored WHERE round(weight, 6) >= {floor!r})
        ORDER BY l, r, kind, rule"""
    ).to_arrow_table()
    stats = con.execute(
        f"""SELECT kind, value, holders, names, spellings, initials, names > {policy.shared_value_names} AS blocked
        FROM identifier_stats ORDER BY kind, value"""
    ).to_arrow_table()
    records = records.select(["rid", "source_record_id", "source_ref", "is_stub"])
    records = records.take(pc.sort_indices(records["rid"])).combine_chunks()
    numbers = records["source_record_id"].combine_chunks()
    ends = [numbers.take(evidence[side].combine_chunks()) for side in ("l", "r")]
    found = pa.table([*ends, *evidence.columns[2:]], names=["left_id", "right_id", *evidence.column_names[2:]])
    source_record_ids = numbers.to_numpy(zero_copy_only=False).astype(np.int64)
    return Resolution(
        source_record_ids=source_record_ids,
        source_refs=records["source_ref"].combine_chunks(),
        is_stub=np.asarray(records["is_stub"].to_numpy(zero_copy_only=False), np.bool_),
        labels=labels,
        evidence=pa.concat_tables([found, constraints.evidence(source_record_ids).cast(found.schema)]),
        identifier_stats=stats,
        model=model,
    )
