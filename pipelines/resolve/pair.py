"""Why two source records are one party, or are not: people's decisions, rules, score, and the way between them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import FixConfig
from pipelines.resolve.cluster import CLIP, accepted_from
from pipelines.resolve.compared import compared
from pipelines.resolve.compiled import compile_model
from pipelines.resolve.counted import counted
from pipelines.resolve.match_view import MATCHED_ENTITIES
from pipelines.resolve.model import MatchModel
from pipelines.resolve.path import best_path
from pipelines.resolve.rules import load_policy
from pipelines.resolve.shared import contradictions, shared_values
from pipelines.resolve.waterfall import GUARD, rounded, waterfall
from pipelines.store import decisions, identity, pair_reads

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.resolve.compared import Compared
    from pipelines.resolve.rules import Policy
    from pipelines.resolve.waterfall import Waterfall
    from pipelines.store import Store
    from pipelines.store.pair_reads import Edge, Found

_SCORED = "scored"


def explain_pair(
    store: Store, left: str, right: str, *, policy_path: Path | None = None, tenant_id: int = 1
) -> dict[str, Any]:
    """Return everything that says whether two source records are one party.

    ``left`` and ``right`` are source record numbers or references ``connection/object/key``. Keys: ``left``, ``right``
    (ordered by reference), ``together``, ``because`` (the reasons, the binding ones first), ``evidence`` (what the ledger
    holds of the pair), ``waterfall`` (steps that sum to its score), ``counts`` (from the score, by rules and people's words, to
    what the pair counts for in the partition; these steps sum up too), ``shared`` (values both hold, by rule, with holders and
    limits), ``contradictions`` (unique identifiers that differ, birth dates of two people), ``path`` (the way between
    them, where they are together).
    """
    pair = _pair(store, left, right, policy_path, tenant_id)
    fall = pair.waterfall
    return {
        "entity": pair.entity,
        "left": asdict(pair.left),
        "right": asdict(pair.right),
        "together": pair.together,
        "because": pair.together_because() if pair.together else pair.apart_because(),
        "evidence": [asdict(edge) for edge in pair.direct],
        "waterfall": fall and fall.to_dict() | pair.judged(fall),
        "counts": counted(None if fall is None else fall.score, pair.direct),
        "shared": shared_values(pair.policy, pair.facts, *pair.ids) if pair.both else [],
        "contradictions": contradictions(pair.model, pair.policy, pair.facts, *pair.ids) if pair.both else [],
        "path": [pair.told(edge) for edge in pair.path] if pair.together else [],
    }


def _pair(store: Store, left: str, right: str, policy_path: Path | None, tenant_id: int) -> _Pair:
    first, second = sorted(
        (_record(store, tenant_id, each) for each in (left, right)), key=lambda each: each.source_ref
    )
    if first.record == second.record:
        raise FixConfig(f"{left} and {right} are one record", do="name two source records")
    kinds = {each.entity for each in (first, second) if each.entity is not None}
    entity = kinds.pop() if len(kinds) == 1 else None
    if entity not in MATCHED_ENTITIES:
        what = f"{first.source_ref} and {second.source_ref} are not matched with each other"
        raise FixConfig(what, do="name two persons or two organisations that have been resolved")
    stored = identity.active_model(store, tenant_id, entity)
    if stored is None or not MatchModel.is_current(stored[1]):
        raise FixConfig(f"no {entity} has been resolved by this version yet", do="run `unisono sync` first")
    model = MatchModel.from_json(stored[1])
    return _Pair(store, tenant_id, entity, first, second, model, stored[0], load_policy(policy_path))


def _record(store: Store, tenant_id: int, name: str) -> Found:
    found = pair_reads.find_record(store, tenant_id, name)
    if found is None:
        do = "give the number of a source record, or its reference connection/object/key"
        raise FixConfig(f"no source record '{name}'", do=do)
    return found


@dataclass
class _Pair:
    """Two records and what is known of them, each thing read when it is asked for."""

    store: Store
    tenant_id: int
    entity: str
    left: Found
    right: Found
    model: MatchModel
    model_id: int
    policy: Policy

    @property
    def ids(self) -> tuple[int, int]:
        """The numbers of the two records."""
        return self.left.record, self.right.record

    @property
    def together(self) -> bool:
        """True when one golden entity holds both."""
        return self.left.entity_id is not None and self.left.entity_id == self.right.entity_id

    @cached_property
    def clusters(self) -> tuple[list[int], list[int]]:
        """The records that are together with each of the two."""
        return self._cluster(self.left), self._cluster(self.right)

    @cached_property
    def edges(self) -> list[Edge]:
        """The evidence that holds among all of these."""
        return pair_reads.evidence_among(
            self.store, self.tenant_id, self.entity, {*self.ids, *self.clusters[0], *self.clusters[1]}
        )

    @property
    def direct(self) -> list[Edge]:
        """The evidence about the two themselves."""
        return [edge for edge in self.edges if {edge.left_id, edge.right_id} == set(self.ids)]

    @cached_property
    def facts(self) -> Compared:
        """The two as they are compared."""
        return compared(self.store, self.tenant_id, self.entity, self.model, self.model_id, self.policy, self.ids)

    @property
    def both(self) -> bool:
        """True when both take part in matching."""
        return all(record in self.facts.rows for record in self.ids)

    @cached_property
    def waterfall(self) -> Waterfall | None:
        """How their score comes about; a stub has none."""
        rows = [self.facts.rows.get(record) for record in self.ids]
        if rows[0] is None or rows[1] is None or rows[0]["is_stub"] or rows[1]["is_stub"] or not self.model.comparisons:
            return None
        return waterfall(self.model, rows[0], rows[1])

    @cached_property
    def path(self) -> list[Edge]:
        """The way through the evidence from one to the other."""
        return best_path(self.edges, *self.ids, accepted_from(self.model.threshold))

    def judged(self, fall: Waterfall) -> dict[str, Any]:
        """Return what the score is measured against, and whether the ledger says the same."""
        known = [rounded(edge.weight) for edge in self.direct if edge.kind == _SCORED and edge.weight is not None]
        return {
            "model_id": self.model_id,
            "threshold": rounded(self.model.threshold),
            "probability": rounded(1 / (1 + 2.0 ** -float(fall.score))),
            "in_ledger": known[0] if known else None,
            "as_in_ledger": known[0] == fall.score if known else None,
        }

    def told(self, edge: Edge) -> dict[str, Any]:
        """Return one step of the way, with the references of its ends."""
        names = self._names
        ends = {"left": names.get(edge.left_id), "right": names.get(edge.right_id)}
        return ends | {name: value for name, value in asdict(edge).items() if value is not None}

    def together_because(self) -> list[dict[str, Any]]:
        """Return what holds them together, a person's word first."""
        reasons = self._said("positive")
        reasons += [
            {"reason": "rule", "rule": edge.rule}
            for edge in self.direct
            if edge.kind == "deterministic" and _links(edge)
        ]
        fall = self.waterfall
        if fall is not None and fall.score >= rounded(self.model.threshold):
            reasons.append({"reason": "score", "score": fall.score, "threshold": rounded(self.model.threshold)})
        if not reasons and self.path:
            steps = [self._names.get(record) for record in _records_on(self.path, self.left.record)]
            reasons.append({"reason": "path", "through": steps, "steps": len(self.path)})
        return reasons or [{"reason": "whole", **self._agreement()}]

    def apart_because(self) -> list[dict[str, Any]]:
        """Return what keeps them apart: what forbids first, then what is missing for a link."""
        reasons = (
            self._absent() + self._said("negative") + self._said("conflict") + self._said("unsure") + self._forbidden()
        )
        fall = self.waterfall
        if fall is None:
            return reasons
        if self.facts.rows[self.ids[0]]["employee"] != self.facts.rows[self.ids[1]]["employee"]:
            reasons.append(
                {"reason": "roles", "why": "one is an employee, the other is not: only a rule may link them"}
            )
        guard = next((step for step in fall.steps if step.name == GUARD and step.weight < 0), None)
        if guard is not None:
            reasons.append({"reason": "guard", "why": guard.level, "weight": guard.weight})
        if fall.score < rounded(self.model.threshold):
            reasons.append({"reason": "threshold", "score": fall.score, "threshold": rounded(self.model.threshold)})
        elif not reasons and not any(edge.kind == _SCORED for edge in self.direct):
            reasons.append(
                {"reason": "not compared", "why": "no blocking key brought them together", "score": fall.score}
            )
        return reasons or [{"reason": "whole", **self._agreement()}]

    def _absent(self) -> list[dict[str, Any]]:
        gone = [each for each in (self.left, self.right) if each.deleted or each.entity_id is None]
        why = ("it is deleted at its source", "it has not been resolved yet")
        return [{"reason": "absent", "record": each.source_ref, "why": why[not each.deleted]} for each in gone]

    def _forbidden(self) -> list[dict[str, Any]]:
        """Return what keeps the two, or records that are with them, apart by a rule."""
        sides = [set(each) | {record} for each, record in zip(self.clusters, self.ids, strict=True)]
        across = [
            edge for edge in self.edges if edge.kind == "deterministic" and edge.judgement == "negative"
            and any({edge.left_id} <= one and {edge.right_id} <= other for one, other in (sides, sides[::-1]))
        ]  # fmt: skip
        return [{"reason": "negative", **self.told(edge)} for edge in across]

    def _said(self, judgement: str) -> list[dict[str, Any]]:
        """Return what people decided of the two, with the decisions."""
        found = [edge for edge in self.direct if edge.kind == "steward" and edge.judgement == judgement]
        made = decisions.open_decisions(self.store, self.tenant_id, self.entity) if found else []
        return [
            {
                "reason": "decision", "decision": edge.rule, "judgement": judgement,
                "made": [
                    {"decision_id": each.decision_id, "by": each.actor, "reason": each.reason}
                    for each in made if each.kind == edge.rule and set(self.ids) <= set(each.records)
                ],
            }
            for edge in found
        ]  # fmt: skip

    def _agreement(self) -> dict[str, Any]:
        """Return how the records of both sides agree on the whole, which is what decides between clusters."""
        whole = sorted({*self.ids, *self.clusters[0], *self.clusters[1]})
        facts = compared(self.store, self.tenant_id, self.entity, self.model, self.model_id, self.policy, whole)
        scorer, names = compile_model(self.model), self._names
        sides = ([self.left.record], [self.right.record]) if self.together else self.clusters
        pairs = [
            sorted((a, b), key=lambda each: names[each])
            for a in sides[0] for b in sides[1]
            if all(each in facts.rows and not facts.rows[each]["is_stub"] for each in (a, b))
        ]  # fmt: skip
        weights = [max(-CLIP, min(CLIP, scorer.weight(facts.rows[a], facts.rows[b]))) for a, b in pairs]
        mean = rounded(sum(weights) / len(weights)) if weights else Decimal(0)
        return {
            "why": "what all records of both sides say on average decides",
            "pairs": len(weights),
            "mean_weight": mean,
        }

    def _cluster(self, found: Found) -> list[int]:
        if found.entity_id is None:
            return [found.record]
        return pair_reads.members_of(self.store, self.tenant_id, self.entity, found.entity_id)

    @cached_property
    def _names(self) -> dict[int, str]:
        return pair_reads.references(self.store, self.tenant_id, {*self.ids, *self.clusters[0], *self.clusters[1]})


def _links(edge: Edge) -> bool:
    return edge.judgement == "positive"


def _records_on(path: list[Edge], start: int) -> list[int]:
    """Return the records that a way passes, both ends included."""
    found = [start]
    for edge in path:
        found.append(edge.right_id if edge.left_id == found[-1] else edge.left_id)
    return found
