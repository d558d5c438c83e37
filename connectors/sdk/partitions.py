"""The parts a stream is read in: one, one per declared value, or one per record of the parent stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from connectors.sdk import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.sdk.protocols import Checkpoints, ParentRecord
    from connectors.sdk.specs import ParentSpec, StreamSpec

WHOLE: Final = ""


@dataclass(frozen=True)
class Partition:
    """One independently read part; ``name`` is stable between runs and unique within the stream."""

    name: str
    scope: Mapping[str, Any] = field(default_factory=dict)
    parent: ParentRecord | None = None

    @property
    def parent_hash(self) -> str | None:
        """Hash of the parent record this read belongs to."""
        return self.parent.hash if self.parent else None


def partitions(stream: StreamSpec, checkpoints: Checkpoints, *, full: bool) -> Iterator[Partition]:
    """Yield the partitions to read now.

    With ``changed_only`` those are left out whose parent is the same as when its children were last read COMPLETE.
    A parent without a value to bind has no children.
    """
    for static in _static(stream):
        if stream.parent is None:
            yield static
        else:
            yield from _children(stream.parent, static, checkpoints, full=full)


def _static(stream: StreamSpec) -> Iterator[Partition]:
    if stream.partitions is None:
        yield Partition(WHOLE)
        return
    name, values = stream.partitions
    for value in values:
        yield Partition(f"{name}={quote(value, safe='')}", {"partition": {name: value}})


def _children(spec: ParentSpec, static: Partition, checkpoints: Checkpoints, *, full: bool) -> Iterator[Partition]:
    changed_only = spec.changed_only and not full
    for parent in checkpoints.parents(spec.stream, changed_only):
        name = ",".join(filter(None, (static.name, f"{spec.stream}={quote(parent.key, safe='')}")))
        if changed_only and _unchanged(checkpoints, name, parent):
            continue
        record = msgspec.json.decode(parent.payload)
        bound = {word: paths.find(path, record) for word, path in spec.bind.items()}
        if all(paths.text_of(value) for value in bound.values()):
            yield Partition(name, {**static.scope, "parent": bound}, parent)


def _unchanged(checkpoints: Checkpoints, name: str, parent: ParentRecord) -> bool:
    state = checkpoints.partition(name)
    return state is not None and state.complete and state.position is None and state.parent_hash == parent.hash
