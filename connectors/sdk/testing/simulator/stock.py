"""What a hostile vendor holds: records it can add, change, date and delete while it is being read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from connectors.sdk import paths
from connectors.sdk.protocols import ParentRecord
from connectors.sdk.records import canonical_hash

from .derive import gone_from
from .holdings import Held
from .specimens import Maker, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from connectors.sdk.specs import StreamSpec

    from .clock import SimClock
    from .holdings import Holdings
    from .specimens import Record

STEP: Final = timedelta(minutes=1)


def encoded(record: Any) -> bytes:
    """Return a record as the vendor writes it."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class Lot:
    """One stream's records; ``of`` are the parents it hangs on, ``count`` how many it begins with."""

    spec: StreamSpec
    maker: Maker
    clock: SimClock
    count: int
    page_size: int
    made: int = 0
    bindings: Sequence[Mapping[str, Any]] = ()
    holdings: Holdings | None = None
    known: dict[str, Held] = field(default_factory=dict)

    def first(self) -> list[Held]:
        """Return the records that are there from the start, a minute apart, the last one a minute old."""
        shares = self._shares()
        began = self.clock.now().replace(microsecond=0) - STEP * self.count
        held = [self.build(began + STEP * i, place=shares[i] if shares else None) for i in range(self.count)]
        self.known = {one.key: one for one in held}
        return held

    def _shares(self) -> list[int]:
        """Return which parent each record hangs on: the first has none, the second most, the others two each."""
        parents = len(self.bindings)
        if not parents:
            return []
        small = [i for i in range(2, parents) for _ in range(2)][: self.count]
        return [min(1, parents - 1)] * (self.count - len(small)) + small

    def build(
        self, at: datetime, *, place: int | None = None, rank: float | None = None, cursor: int | None = None
    ) -> Held:
        """Return a new record, changed last ``at``; ``cursor`` where that is a number and not to be the next one."""
        bound = self.bindings[place] if place is not None else {}
        self.made += 1
        record = self.maker.record(self.made, at, self.made if cursor is None else cursor, bound)
        held = Held(key_of(self.spec, record), b"")
        held.facts = {
            "@rank": self.made if rank is None else rank,
            "@parent": {k: paths.text_of(v) for k, v in bound.items()},
        }
        held.facts["@part"] = self._part()
        self.write(held, record)
        return held

    def _part(self) -> dict[str, str]:
        if self.spec.partitions is None:
            return {}
        name, values = self.spec.partitions
        return {name: values[self.made % len(values)]}

    def write(self, held: Held, record: Record) -> None:
        """Give a record new content, and the facts that follow from it."""
        held.payload = encoded(record)
        held.shown.clear()
        asked = self.spec.incremental
        keyset = asked.keyset if asked else None
        marker = getattr(self.spec.request.paginator, "path", None)
        held.facts = {
            **(held.facts or {}),
            "@cursor": self.maker.cursor(record),
            "@source_key": held.key,
            "@key": paths.text_of(paths.find(keyset.path, record)) if keyset else held.key,
            "@marker": paths.text_of(paths.find(marker, record)) if marker else held.key,
            "@record": record,
        }

    def live(self) -> list[Held]:
        """Return the records that are shown, in the order of their rank."""
        found = [held for held in self._holdings().records(self.spec.name).values() if not held.hidden]
        return sorted(found, key=lambda held: held.facts["@rank"] if held.facts else 0)

    def add(
        self, at: datetime, count: int = 1, *, head: bool = False, place: int | None = None, cursor: int | None = None
    ) -> list[Held]:
        """Add records of one time, at the end of an unsorted list or at its head."""
        live = self.live() if head else ()
        lowest = min((held.facts["@rank"] for held in live if held.facts), default=0)
        ranks = [lowest - 1 - i if head else None for i in range(count)]
        place = (1 if len(self.bindings) > 1 else 0) if self.bindings and place is None else place
        held = [self.build(at, place=place, rank=rank, cursor=cursor) for rank in ranks]
        self._holdings().put(self.spec.name, held)
        self.known.update((one.key, one) for one in held)
        return held

    def touch(self, held: Held, at: datetime, *, dated: bool = True) -> None:
        """Change a record's content, and its time unless the vendor keeps none."""
        record = json.loads(held.payload)
        record["note_of_change"] = f"changed at {at.isoformat()}"
        if dated:
            self.made += 1
            self.maker.date(record, at, self.made)
        self.rewrite(held, record)

    def redate(self, held: Held, at: datetime, cursor: int | None) -> None:
        """Give a record another time, or the number that stands for it."""
        record = json.loads(held.payload)
        self.maker.date(record, at, cursor)
        self.rewrite(held, record)

    def number(self) -> int:
        """Return the next number."""
        self.made += 1
        return self.made

    def rewrite(self, held: Held, record: Record) -> None:
        """Replace a record's content in the vendor's own store."""
        self.write(held, record)
        self._holdings().put(self.spec.name, [held])

    def remove(self, held: Held) -> None:
        """Delete a record without a word."""
        self._holdings().drop(self.spec.name, held.key)

    def retire(self, held: Held, record: Record) -> None:
        """Delete a record and name it, as ``record``, in the list of deleted ones."""
        self.remove(held)
        self.number()
        named = Held(held.key, b"", facts={**(held.facts or {}), "@rank": self.made})
        self.write(named, record)
        self._holdings().put(gone_from(self.spec.name), [named])

    def _holdings(self) -> Holdings:
        if self.holdings is None:
            message = f"the records of {self.spec.name} are not held by anybody yet"
            raise LookupError(message)
        return self.holdings


def as_parent(held: Held) -> ParentRecord:
    """Return a record as its children's partitions are made from."""
    return ParentRecord(held.key, held.payload, canonical_hash(held.payload))
