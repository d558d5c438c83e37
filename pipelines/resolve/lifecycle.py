"""The life of a match model: trained as a candidate, looked at, activated as a migration (ARCHITECTURE §7, ADR 0025).

A candidate decides nothing. Its report says what it would merge and split; activation makes it the model that scores, and
the resolve that follows carries every id over. A model is never changed, so that an older one can be activated again. One
that says nothing new is no candidate: it would move ids for no reason (ADR 0057).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import FixConfig
from pipelines.report import StageReport
from pipelines.resolve.assigned import assigned, live_ids
from pipelines.resolve.decisions import constraints
from pipelines.resolve.engine import resolve_table
from pipelines.resolve.model import MatchModel
from pipelines.resolve.model_shift import shift
from pipelines.resolve.read_store import read_match_table
from pipelines.resolve.rules import load_policy
from pipelines.store import decisions, identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from pipelines.context import StageContext
    from pipelines.resolve.engine import Resolution
    from pipelines.store import Lease, Store
    from pipelines.store.identity import StoredModel

    Ints = NDArray[np.int64]

STAGE = "train"
FEW_TOUCHED = 0.005
"""Share of the entities that a model with nothing new to say may merge or split: what is left of 1 is the bar for ids."""
_EXAMPLES = 20


def train(context: StageContext, *, anew: bool = False) -> StageReport:
    """Learn a model of ``context.entity`` from what is stored, keep it as a candidate, and say what it would change.

    Links and ids stay as they are. ``details`` names the candidate and counts the entities it would merge and split, with
    examples as ids; the same is kept with the model. Where the active model stands, it is the one named, ``stands`` is
    true and nothing is stored: its numbers cannot be told from those just learned (``shift``, mean bits of a pair's weight),
    which would touch next to no entity, and its records have not doubled. ``anew`` stores a candidate all the same, unless
    it is equal. Raises FixConfig where there is nothing to learn from.
    """
    entity, store, tenant = str(context.entity), context.store, context.tenant_id
    policy = load_policy(context.config.identity)
    with context.store.acquire("master/resolve", now=context.now, tenant_id=tenant) as lease:
        table = read_match_table(store, tenant, entity, policy)
        if table.num_rows == 0:
            raise FixConfig(f"there is no {entity} to learn a model from", do="run `unisono sync` first")
        decided = constraints(decisions.open_decisions(store, tenant, entity))
        spark = context.config.spark.session() if context.config.spark else None
        found = resolve_table(table, entity, policy, None, decided, spark=spark)
        details = {"origin": found.model.origin, **_preview(store, tenant, entity, found)}
        active = _active(store, tenant, entity)
        if active is not None:
            details |= beside(active[1], found.model, details, policy.retrain_growth)
        if active is not None and (details["equal"] or (details["stands"] and not anew)):
            details |= {"model": active[0], "stands": True}
        else:
            details |= {"model": _kept(context, lease, entity, found.model, details), "stands": False}
    return StageReport(STAGE, entity=entity, counts={"read": table.num_rows}, details=details)


def activate(context: StageContext, number: int) -> StageReport:
    """Make a stored model the active one of its entity, and have the next resolve decide everything anew with it.

    Run resolve (and golden) of ``details["entity"]`` then: ids are carried over. Killed before, any later resolve does it.
    Of the model that is active already nothing is written. Raises FixConfig for a number that is no model, or of one that
    the records have outgrown or that is in another format.
    """
    store, tenant = context.store, context.tenant_id
    known = {one.model_id: one for one in identity.models(store, tenant)}
    if number not in known:
        raise FixConfig(f"there is no match model {number}", do="see `unisono identity models`")
    entity = known[number].entity
    if known[number].status == identity.ACTIVE:
        return StageReport(
            "activate", entity=entity, counts={"written": 0}, details={"model": number, "unchanged": True}
        )
    _refuse(context, known[number])
    before = identity.active_model(store, tenant, entity)
    with store.acquire("master/resolve", now=context.now, tenant_id=tenant) as lease:  # noqa: SIM117
        with store.write(lease, cause="activate model", actor=context.actor) as tx:
            identity.activate_model(tx, entity, number)
            tx.set_watermark("resolve", entity, 0)
    details = {"model": number, "instead_of": before and before[0]}
    return StageReport("activate", entity=entity, counts={"written": 1}, details=details)


def compare(links: Mapping[int, int], records: Ints, labels: Ints) -> dict[str, Any]:
    """Return what another partition of the records would do to entities: counts, and examples in the order of ids.

    ``merges``: groups of entities that would be one. ``splits``: entities whose members would part.
    """
    clusters: dict[int, set[int]] = defaultdict(set)
    parts: dict[int, set[int]] = defaultdict(set)
    for record, label in zip(records.tolist(), labels.tolist(), strict=True):
        if record in links:
            clusters[label].add(links[record])
            parts[links[record]].add(label)
    merges = sorted(sorted(held) for held in clusters.values() if len(held) > 1)
    splits = sorted((entity, len(found)) for entity, found in parts.items() if len(found) > 1)
    touched = {entity for group in merges for entity in group} | {entity for entity, _ in splits}
    return {
        "entities": len(parts),
        "untouched": len(parts) - len(touched),
        "merges": len(merges),
        "splits": len(splits),
        "merge_examples": merges[:_EXAMPLES],
        "split_examples": [{"entity_id": entity, "parts": count} for entity, count in splits[:_EXAMPLES]],
    }


def _preview(store: Store, tenant: int, entity: str, found: Resolution) -> dict[str, Any]:
    links = live_ids(store, tenant, entity)
    given = assigned(store, tenant, entity, (found.source_record_ids, found.labels), links)
    return {**compare(links, found.source_record_ids, found.labels), "ids": given.counts()}


def _active(store: Store, tenant: int, entity: str) -> tuple[int, MatchModel] | None:
    """Return number and content of the active model, if this version can read it."""
    active = identity.active_model(store, tenant, entity)
    return (active[0], MatchModel.from_json(active[1])) if active and MatchModel.is_current(active[1]) else None


def beside(active: MatchModel, found: MatchModel, preview: Mapping[str, Any], growth: float) -> dict[str, Any]:
    """Say whether what was learned is the active model, or cannot be told from it, and how far apart they are.

    ``preview``: what it would do to entities, as ``compare`` says it; ``growth``: the policy's ``retrain_growth``.
    """
    moved = shift(active, found)
    touched = preview["entities"] - preview["untouched"]
    stands = not moved.tells and touched <= FEW_TOUCHED * preview["entities"] and found.rows < active.rows * growth
    return {"equal": active.to_json() == found.to_json(), "stands": stands, "shift": asdict(moved)}


def _kept(context: StageContext, lease: Lease, entity: str, model: MatchModel, preview: Mapping[str, Any]) -> int:
    """Store the candidate and return its number."""
    with context.store.write(lease, cause="train", actor=context.actor) as tx:
        report = {**model.report, "preview": dict(preview)}
        return identity.add_model(tx, entity, model.to_json(), report, candidate=True)


def _refuse(context: StageContext, model: StoredModel) -> None:
    text = identity.model_document(context.store, context.tenant_id, model.model_id)
    do = "train another with `unisono identity train`"
    if not MatchModel.is_current(text):
        raise FixConfig(f"match model {model.model_id} is of another version of unisono", do=do)
    rows = identity.links(context.store, context.tenant_id, model.entity).num_rows
    learned = MatchModel.from_json(text).rows
    if rows >= learned * load_policy(context.config.identity).retrain_growth:
        why = f"it was learned from {learned:,} records, now there are {rows:,}"
        raise FixConfig(f"match model {model.model_id} is outgrown", why=why, do=do)
