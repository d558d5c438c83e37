"""What one vendor holds at the moment: the world's records, kept in the order that requests ask for."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .query import Condition, Order, Show, matches, order_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .blocks import Made, World
    from .shape import Shape

_LISTS = 48


@dataclass
class Held:
    """One record: its bytes, its parsed form, whose it is, and the rows that it can be made from again.

    ``facts`` stand for the parsed form where conditions and orders must not depend on what the bytes hold. A
    ``hidden`` record takes its place in a list and is never shown.
    """

    key: str
    payload: bytes
    entity: str | None = None
    parent: str | None = None
    made: Made | None = None
    at: int = 0
    shown: dict[str, bytes] = field(default_factory=dict)
    facts: dict[str, Any] | None = None
    hidden: bool = False
    _record: Any = None

    @property
    def record(self) -> Any:
        """Return the parsed record, or the facts that stand for it."""
        if self.facts is not None:
            return self.facts
        if self._record is None:
            self._record = json.loads(self.payload)
        return self._record

    def show(self, projection: tuple[str, Show] | None) -> bytes:
        """Return the record's bytes under a projection, remembered."""
        if projection is None:
            return self.payload
        name, show = projection
        if name not in self.shown:
            self.shown[name] = show(self.payload)
        return self.shown[name]


@dataclass(frozen=True)
class Result:
    """Records in the order asked for, with the sort key of each."""

    records: Sequence[Held]
    keys: Sequence[tuple[Any, ...]]

    @cached_property
    def place(self) -> dict[str, int]:
        """Return each key's position."""
        return {record.key: i for i, record in enumerate(self.records)}


class Holdings:
    """The records of one vendor by stream, made when first asked for; ``given`` ones need no world."""

    def __init__(self, world: World | None, shape: Shape, given: Mapping[str, Iterable[Held]] | None = None) -> None:
        self._world, self.shape = world, shape
        self._streams: dict[str, dict[str, Held]] = {
            name: {held.key: held for held in records} for name, records in (given or {}).items()
        }
        self._lists: OrderedDict[str, Result] = OrderedDict()

    @property
    def world(self) -> World:
        """Return the world that the records are of; holdings of given records have none."""
        if self._world is None:
            message = f"the records of {self.shape.vendor} were given: there is no world behind them"
            raise LookupError(message)
        return self._world

    def records(self, stream: str) -> dict[str, Held]:
        """Return a stream's records by key."""
        if stream not in self._streams:
            made = self.world.made(self.shape.vendor, stream)
            self._streams[stream] = {h.key: h for m in made for h in held(m, self.world.render(m))}
        return self._streams[stream]

    def put(self, stream: str, records: Iterable[Held]) -> None:
        """Add records or replace those with the same key."""
        self.records(stream).update((record.key, record) for record in records)
        self._lists.clear()

    def drop(self, stream: str, key: str) -> None:
        """Forget a record."""
        self.records(stream).pop(key)
        self._lists.clear()

    def result(
        self, stream: str, parent: str | None, groups: Sequence[Sequence[Condition]], order: Sequence[Order]
    ) -> Result:
        """Return the records that meet the conditions, in order; remembered until something changes."""
        name = json.dumps([stream, parent, groups, order])
        if name not in self._lists:
            self._lists[name] = self._result(stream, parent, groups, order)
            while len(self._lists) > _LISTS:
                self._lists.popitem(last=False)
        self._lists.move_to_end(name)
        return self._lists[name]

    def _result(
        self, stream: str, parent: str | None, groups: Sequence[Sequence[Condition]], order: Sequence[Order]
    ) -> Result:
        chosen = [r for r in self.records(stream).values() if parent is None or r.parent == parent]
        if any(groups):
            chosen = [r for r in chosen if matches(groups, r.record)]
        keyed = [(order_key(order, r.key)(r.record if order else None), r) for r in chosen]
        keyed.sort(key=itemgetter(0))
        return Result([r for _, r in keyed], [k for k, _ in keyed])


def held(made: Made, texts: Sequence[str]) -> list[Held]:
    """Return the records of made rows, ready to be served."""
    nested = made.shape.nested
    parents = made.rows.column(f"{nested['link']}.id") if nested else [None] * made.rows.count
    drawn = zip(made.keys(), texts, made.entities(), parents, strict=True)
    return [
        Held(key, text.encode(), entity, None if parent is None else str(parent), made, at)
        for at, (key, text, entity, parent) in enumerate(drawn)
    ]
