"""A match model made ready for single records, once for each store that is open: a server stays warm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pipelines.resolve.compiled import compile_model
from pipelines.resolve.model import MatchModel
from pipelines.resolve.normal_form import NormalForm
from pipelines.store import identity

if TYPE_CHECKING:
    from pipelines.resolve.compiled import Compiled
    from pipelines.resolve.rules import Policy
    from pipelines.store import Store

    Ready = tuple[NormalForm, Compiled]

_KEPT = 4


@dataclass
class _Known:
    """What was made of a store's models, by their numbers: what a number stands for never changes."""

    models: dict[tuple[int, int], MatchModel | None] = field(default_factory=dict)
    ready: dict[int, tuple[MatchModel, Policy, Ready]] = field(default_factory=dict)


_KNOWN: WeakKeyDictionary[Store, _Known] = WeakKeyDictionary()


def model_of(store: Store, tenant_id: int, number: int) -> MatchModel | None:
    """Return a match model of the store; ``None`` if it is in a format that another model must replace."""
    known = _KNOWN.setdefault(store, _Known()).models
    if (tenant_id, number) not in known:
        document = identity.model_document(store, tenant_id, number)
        known[tenant_id, number] = MatchModel.from_json(document) if MatchModel.is_current(document) else None
    return known[tenant_id, number]


def ready(store: Store, model: MatchModel, policy: Policy) -> Ready:
    """Return normal form and scorer of a model under a policy; asked again for the same two, the same."""
    known = _KNOWN.setdefault(store, _Known()).ready
    held = known.get(id(model))
    if held is None or held[0] is not model or held[1] is not policy:
        if len(known) >= _KEPT:
            known.clear()
        held = known[id(model)] = model, policy, (NormalForm(model, policy), compile_model(model))
    return held[2]
