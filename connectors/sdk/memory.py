"""Checkpoints and tokens kept in memory: for trying a connector out, for the conformance kit and for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.sdk import incremental
from connectors.sdk.protocols import Completeness, Page, ParentRecord, PartitionState, ReadKind, StoredToken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class MemoryCheckpoints:
    """What extract keeps in the store, in its simplest true form."""

    def __init__(self, parents: Mapping[str, Iterable[ParentRecord]] | None = None) -> None:
        """Start without any earlier read."""
        self.states: dict[str, PartitionState] = {}
        self.live = 0
        self._parents = {name: tuple(records) for name, records in (parents or {}).items()}

    def partition(self, partition: str) -> PartitionState | None:
        """Return the state of a partition."""
        return self.states.get(partition)

    def partitions(self, names: Sequence[str]) -> Mapping[str, PartitionState]:
        """Return the states of those that were ever read."""
        return {name: self.states[name] for name in names if name in self.states}

    def live_records(self) -> int:
        """Return the number a test has set."""
        return self.live

    def parents(self, parent_stream: str, changed_since_complete: bool) -> Iterable[ParentRecord]:
        """Return all parents given; the engine compares hashes itself."""
        del changed_since_complete
        return self._parents.get(parent_stream, ())

    def save(self, page: Page) -> None:
        """Store what one page leaves for the next run; reads of changes and of everything keep places of their own."""
        state = self.states.get(page.partition, PartitionState(page.partition))
        if page.kind is ReadKind.INCREMENTAL:
            state = replace(state, changes=page.position)
        else:
            state = replace(state, position=page.position)
        if page.completeness is not None:
            complete = page.completeness is Completeness.COMPLETE
            cursor = incremental.later(state.cursor, page.cursor)
            parent_hash = page.parent_hash if complete else state.parent_hash
            whole = page.began if complete and page.kind is not ReadKind.INCREMENTAL else state.whole
            state = replace(state, complete=complete, cursor=cursor, parent_hash=parent_hash, whole=whole)
        self.states[page.partition] = state


class MemoryTokens:
    """Tokens with compare-and-swap, for one process."""

    def __init__(self) -> None:
        """Start without tokens; ``saved`` keeps every version in order."""
        self.saved: list[StoredToken] = []

    def load(self, connection_id: str) -> StoredToken | None:
        """Return the newest tokens of a connection."""
        return next((token for token in reversed(self.saved) if token.connection_id == connection_id), None)

    def save(self, token: StoredToken, expected_version: int) -> bool:
        """Keep ``token`` if nobody saved since ``expected_version``."""
        stored = self.load(token.connection_id)
        if (stored.version if stored else 0) != expected_version:
            return False
        self.saved.append(token)
        return True
