"""One record matched against the store: who is this, if it is anyone we know. Nothing is written.

A ``Lookup`` is opened once and asked often. The record is brought to its normal form by the same expressions as all others,
evaluated for one row; its keys are looked up in the match index; the candidates, some tens, are scored by the Python form of
the one compiled scorer. No statement is planned for a record but point reads of the store.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from connectors.sdk.errors import FixConfig
from pipelines.resolve.blocking import LARGEST_BLOCK
from pipelines.resolve.candidates import Holder, Value, decode, names_of, rule_between
from pipelines.resolve.guards import OWN
from pipelines.resolve.index import bucket_of, is_indexed, postings_of
from pipelines.resolve.match_view import MATCHED_ENTITIES
from pipelines.resolve.normal_form import value_hash
from pipelines.resolve.ready import model_of, ready
from pipelines.resolve.rules import load_policy
from pipelines.resolve.threshold import probability
from pipelines.store import match_index

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pipelines.resolve.normal_form import NormalForm
    from pipelines.resolve.rules import Policy
    from pipelines.store import Store

_SOURCE = "lookup/record/1"
HOLDERS_READ = 200
"""Holders of one value that are read to see how many names share it; of more than these the stored count is taken."""


@dataclass(frozen=True)
class Candidate:
    """An entity that the record may be: its best record, how they match, and whether a run would link them by that.

    ``rule`` names the deterministic rule that links them without a score; ``weight`` is the match weight (log2 odds).
    """

    entity_id: int
    source_record_id: int
    weight: float
    probability: float
    rule: str | None
    is_match: bool


class Lookup:
    """The active model of an entity, ready to be asked; one thread at a time is served, others wait."""

    def __init__(
        self, store: Store, entity: str = "person", *, tenant_id: int = 1, policy: Policy | None = None
    ) -> None:
        if entity not in MATCHED_ENTITIES:
            raise FixConfig(
                f"a lookup cannot match {entity!r}", why="only parties have an identity",
                do=f"use one of: {', '.join(MATCHED_ENTITIES)}",
            )  # fmt: skip
        self._store, self._entity, self._tenant = store, entity, tenant_id
        self._policy = policy or load_policy()
        self._lock = threading.Lock()
        self._model_id = 0
        self._form: NormalForm | None = None

    def resolve_one(self, record: Mapping[str, Any], limit: int = 10) -> list[Candidate]:
        """Return the entities that the record may be, best first; none where nothing is known.

        ``record`` has the columns of the match table: scalar terms as text, ``emails``, ``phones``, ``identifiers``
        (``system=value``), ``verified`` (``kind=value``) as lists. While a run is writing, what it has not written yet is
        not found.
        """
        with self._lock:
            form = self._current()
            return self._found(form, record)[:limit] if form else []

    def close(self) -> None:
        """Forget the model."""
        self._form = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _current(self) -> NormalForm | None:
        """Return the form of the model that the index is of; another model takes the place of the last one."""
        state = match_index.state(self._store, self._tenant, self._entity)
        if state is None or not state.records:
            return None
        if self._form is None or state.model_id != self._model_id:
            model = model_of(self._store, self._tenant, state.model_id)
            if model is None or not is_indexed(model):
                return None
            self._form, self._compiled = ready(self._store, model, self._policy)
            self._model_id = state.model_id
        self._bits = state.bits
        return self._form

    def _found(self, form: NormalForm, record: Mapping[str, Any]) -> list[Candidate]:
        said, held = form.said({**record, "source_ref": _SOURCE, "is_stub": False})
        values = [Value(kind, value, sure, value_hash(kind, value), form.column_of(kind)) for kind, value, sure in held]
        hashes = np.array([value.hash for value in values], np.uint64)
        holding = self._members(hashes)
        known = self._rows(form, {sid for sids in holding for sid in sids[:HOLDERS_READ]})
        me = form.whole(said)
        self._count(values, holding, known, me)
        row = form.whole(form.reduced(said, held, {(v.kind, v.value): (v.names, v.initials) for v in values}))
        keys = np.array(form.keys(row), np.uint64)
        blocks = [sids for sids in self._members(keys) if len(sids) < LARGEST_BLOCK]
        close = {sid for sids in blocks for sid in sids}
        known |= self._rows(form, close - known.keys())
        for holder in known.values():
            _disown(holder.row, values)
        linked = rule_between(self._policy, me, values, holding, known)
        return self._ranked(form, Holder(row, values), known, close, linked)

    def _members(self, hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> list[list[int]]:
        """Return the records under each key."""
        if not len(hashes):
            return []
        numbers = np.unique(bucket_of(hashes, self._bits)).tolist()
        h, sid = postings_of(match_index.few_buckets(self._store, self._tenant, self._entity, numbers))
        return [sid[h == each].tolist() for each in hashes]

    def _rows(self, form: NormalForm, ids: set[int]) -> dict[int, Holder]:
        if not ids:
            return {}
        read = match_index.rows(self._store, self._tenant, self._entity, sorted(ids))
        return {line.record: decode(form, line) for line in read}

    def _count(
        self, values: list[Value], holding: list[list[int]], known: Mapping[int, Holder], me: Mapping[str, Any]
    ) -> None:
        """Count what each value of the record would be held by if the record were there."""
        mine = names_of(me)
        for value, sids in zip(values, holding, strict=True):
            names = [names_of(known[sid].row) for sid in sids if sid in known]
            value.count([*names, mine])
            if len(sids) > HOLDERS_READ:
                asked = value.kind, value.md5
                kept = match_index.stats_of(self._store, self._tenant, self._entity, [asked]).get(asked)
                value.at_least(kept[1:] if kept else None)

    def _ranked(
        self, form: NormalForm, me: Holder, known: Mapping[int, Holder], close: set[int], linked: Mapping[int, str]
    ) -> list[Candidate]:
        """Return the best record of each entity, links first, then by weight."""
        asked = sorted(close | linked.keys())
        entities = match_index.entities_of(self._store, self._tenant, self._entity, asked)
        best: dict[int, Candidate] = {}
        floor = np.log2(self._policy.ledger_floor / (1 - self._policy.ledger_floor))
        for sid in asked:
            other = known.get(sid)
            if other is None or sid not in entities:
                continue
            scored = not other.row["is_stub"] and sid in close
            weight = self._compiled.weight(me.row, other.row) if scored else float("-inf")
            rule = linked.get(sid)
            if rule is None and weight < floor:
                continue
            apart = form.cannot_links.between(me.facts, other.facts) is not None
            is_match = not apart and (rule is not None or weight >= form.threshold)
            chance = 1.0 if rule else float(probability(np.array([weight]))[0])
            found = Candidate(entities[sid], sid, weight, chance, rule, is_match)
            held = best.get(found.entity_id)
            if held is None or _rank(found) < _rank(held):
                best[found.entity_id] = found
        return sorted(best.values(), key=_rank)


def _rank(candidate: Candidate) -> tuple[bool, bool, float, int, int]:
    return (
        not candidate.is_match, candidate.rule is None, -candidate.weight, candidate.entity_id,
        candidate.source_record_id,
    )  # fmt: skip


def _disown(row: dict[str, Any], values: list[Value]) -> None:
    """Take out of a candidate's own values those that the record would show to be shared by several given names."""
    for column, own in OWN.items():
        shared = {value.value for value in values if value.column == column and value.initials > 1}
        if row.get(own) and shared & set(row[own]):
            row[own] = [value for value in row[own] if value not in shared] or None
