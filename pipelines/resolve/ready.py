"""A match model made ready for single records, once for each store that is open: a server stays warm."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pipelines.resolve.compiled import compile_model
from pipelines.resolve.normal_form import NormalForm

if TYPE_CHECKING:
    from pipelines.resolve.compiled import Compiled
    from pipelines.resolve.model import MatchModel
    from pipelines.resolve.rules import Policy
    from pipelines.store import Store

    Ready = tuple[NormalForm, Compiled]

_KNOWN: WeakKeyDictionary[Store, dict[tuple[str, int], tuple[Policy, Ready]]] = WeakKeyDictionary()


def ready(store: Store, model: MatchModel, model_id: int, policy: Policy) -> Ready:
    """Return normal form and scorer of a model; what a model's number stands for never changes."""
    known = _KNOWN.setdefault(store, {})
    held = known.get((model.entity, model_id))
    if held is None or held[0] is not policy:
        held = known[model.entity, model_id] = policy, (NormalForm(model, policy), compile_model(model))
    return held[1]
