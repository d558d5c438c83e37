"""The place of every record in the account of its read: loaded, unchanged, duplicate, filtered or quarantined."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import NamedTuple

from connectors.sdk.protocols import Page, RawRecord, Records
from pipelines.extract.holding import Holding
from pipelines.store.heads import Known
from pipelines.store.reads import OpenRead


@dataclass
class Part:
    """What one read brings to the segment under way."""

    last: Page
    counts: Counter[str] = field(default_factory=Counter)
    landed: Records = field(default_factory=Records)
    seen: list[int] = field(default_factory=list)
    bad: list[RawRecord] = field(default_factory=list)
    held: Records = field(default_factory=Records)
    first_row: int = 0
    rows: int = 0


class _Met(NamedTuple):
    """The version of a key that counts so far, and the read that met it."""

    hash: str | None
    op: str | None
    record_time: datetime | None
    read_id: int


class Account:
    """What has been met of each key, in earlier loads and in this segment so far."""

    def __init__(self, known: dict[str, Known], holding: Holding) -> None:
        self._known, self._holding = known, holding
        self._keys: set[str | None] = set()
        self._whole: list[tuple[Records, int]] = []
        self._by_key: dict[str, _Met] = {}
        self.older = 0

    def take(self, records: Records, part: Part, opened: OpenRead) -> None:
        """Sort a page's records into loaded, unchanged, duplicate, filtered and quarantined."""
        before = len(part.landed) + len(part.held)
        if self._all_new(records):
            self._keys.update(records.keys)
            self._whole.append((records, opened.read_id))
            part.landed.extend(records)
        else:
            self._one_by_one(records, part, opened)
        part.counts["loaded"] += len(part.landed) + len(part.held) - before
        part.counts["quarantined"] = len(part.bad)

    def _all_new(self, records: Records) -> bool:
        """Return whether every record is good and its key met for the first time: the common case, cheap to see."""
        distinct = set(records.keys)
        return (
            len(distinct) == len(records)
            and records.are_good
            and None not in distinct
            and None not in records.hashes
            and distinct.isdisjoint(self._keys)
            and distinct.isdisjoint(self._known)
        )

    @property
    def _met(self) -> dict[str, _Met]:
        """What this segment has met, by key; pages that were new as a whole are put in when somebody asks."""
        for records, read_id in self._whole:
            versions = zip(records.hashes, records.ops, records.times, repeat(read_id), strict=False)
            self._by_key.update(zip(records.keys, map(_Met._make, versions), strict=True))  # type: ignore[arg-type]
        self._whole.clear()
        return self._by_key

    def last_op(self, key: str) -> str | None:
        """Return what was said last of a key that was not new; ``None`` if nothing was."""
        met = self._by_key.get(key)
        return None if met is None else met.op

    def _one_by_one(self, records: Records, part: Part, opened: OpenRead) -> None:
        met = self._met
        for record in records:
            key = record.key
            if key is None or record.hash is None or record.problem is not None:
                part.bad.append(record)
            elif key not in met and key not in self._known:
                self._land(record, key, part, opened)
            else:
                self._again(record, key, part, opened)

    def _land(self, record: RawRecord, key: str, part: Part, opened: OpenRead) -> None:
        self._keys.add(key)
        self._by_key[key] = _Met(record.hash, record.op, record.record_time, opened.read_id)
        waits = record.op == "delete" and self._holding.must_wait(key, self._known.get(key), opened)
        (part.held if waits else part.landed).append(record)
        if waits:
            part.seen.append(self._known[key].source_record_id)

    def _again(self, record: RawRecord, key: str, part: Part, opened: OpenRead) -> None:
        """Judge a record whose key has been met before; a delete that waits counts as its newest version."""
        read_id = opened.read_id
        old = self._by_key.get(key) or self._before(key)
        is_older = (
            record.record_time is not None and old.record_time is not None and record.record_time < old.record_time
        )
        same = (record.hash, record.op) == (old.hash, old.op)
        if not same and (old.hash is None or not is_older):
            self._land(record, key, part, opened)
            return
        if same:
            part.counts["duplicate" if old.read_id == read_id else "unchanged"] += 1
        else:
            part.counts["filtered"] += 1
            self.older += 1
        if old.read_id != read_id and key in self._known:
            part.seen.append(self._known[key].source_record_id)
        self._keys.add(key)
        self._by_key[key] = old._replace(read_id=read_id)

    def _before(self, key: str) -> _Met:
        found, held = self._known[key], self._holding.of(key)
        if held is not None:
            return _Met(held.hash, "delete", held.record_time, held.read_id)
        return _Met(found.hash, found.op, found.record_time, found.last_read or 0)
