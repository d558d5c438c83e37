"""The parts a stream is read in: one, one per declared value, or one per record of the parent stream."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from connectors.sdk import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from connectors.sdk.protocols import Checkpoints, ParentRecord, PartitionState
    from connectors.sdk.specs import ParentSpec, RequestSpec, StreamSpec

WHOLE: Final = ""
DELETED: Final = "deleted"
AT_ONCE: Final = 500
_DECODE: Final = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True)
class Partition:
    """One independently read part; ``name`` is stable between runs and unique within the stream.

    ``state`` is what earlier runs left of it. ``request`` is set for a list of deleted records.
    """

    name: str
    scope: Mapping[str, Any] = field(default_factory=dict)
    parent: ParentRecord | None = None
    state: PartitionState | None = None
    request: RequestSpec | None = None

    @property
    def parent_hash(self) -> str | None:
        """Hash of the parent record this read belongs to."""
        return self.parent.hash if self.parent else None


def partitions(stream: StreamSpec, checkpoints: Checkpoints, *, full: bool) -> Iterator[Partition]:
    """Yield the partitions to read now, each with its state; states are asked for some hundred at a time.

    With ``changed_only`` those are left out whose parent is the same as when its children were last read COMPLETE.
    A parent without a value to bind has no children.
    """
    todo = _all(stream, checkpoints, full=full)
    while chunk := list(islice(todo, AT_ONCE)):
        states = checkpoints.partitions([partition.name for partition in chunk])
        for partition in chunk:
            state = states.get(partition.name)
            if not (_changed_only(stream, full=full) and _unchanged(state, partition)):
                yield replace(partition, state=state)


def _all(stream: StreamSpec, checkpoints: Checkpoints, *, full: bool) -> Iterator[Partition]:
    for static in _static(stream):
        if stream.parent is None:
            yield static
        else:
            yield from _children(stream.parent, static, checkpoints, changed_only=_changed_only(stream, full=full))


def _static(stream: StreamSpec) -> Iterator[Partition]:
    for whole in _values(stream):
        yield whole
        if stream.listing is not None and stream.parent is None:
            name = ",".join(filter(None, (whole.name, DELETED)))
            yield replace(whole, name=name, request=stream.listing.request)


def _values(stream: StreamSpec) -> Iterator[Partition]:
    if stream.partitions is None:
        yield Partition(WHOLE)
        return
    name, values = stream.partitions
    for value in values:
        yield Partition(f"{name}={quote(value, safe='')}", {"partition": {name: value}})


def _children(
    spec: ParentSpec, static: Partition, checkpoints: Checkpoints, *, changed_only: bool
) -> Iterator[Partition]:
    for parent in checkpoints.parents(spec.stream, changed_only):
        name = _below(static.name, spec, parent.key)
        record = _DECODE(parent.payload)
        bound = {word: paths.find(path, record) for word, path in spec.bind.items()}
        if all(paths.text_of(value) for value in bound.values()):
            yield Partition(name, {**static.scope, "parent": bound}, parent)


def _below(static: str, spec: ParentSpec, key: str) -> str:
    return ",".join(filter(None, (static, f"{spec.stream}={quote(key, safe='')}")))


def names_below(stream: StreamSpec) -> Callable[[str], list[str]]:
    """Return what names the partitions of a child stream that lie below the parent record with a key."""
    parent, statics = stream.parent, [whole.name for whole in _values(stream)]
    assert parent is not None

    def names(key: str) -> list[str]:
        return [_below(static, parent, key) for static in statics]

    return names


def _changed_only(stream: StreamSpec, *, full: bool) -> bool:
    return stream.parent is not None and stream.parent.changed_only and not full


def _unchanged(state: PartitionState | None, partition: Partition) -> bool:
    if state is None or not state.complete or state.position is not None or state.changes is not None:
        return False
    return state.parent_hash == partition.parent_hash
